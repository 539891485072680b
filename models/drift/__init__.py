# SPDX-License-Identifier: Apache-2.0
"""Makes the references that the node watches drift by: phantom studies through a package's own pipeline."""
