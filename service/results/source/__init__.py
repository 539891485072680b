# SPDX-License-Identifier: Apache-2.0
"""What a result takes from the images that it is of, byte for byte."""
