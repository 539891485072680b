# SPDX-License-Identifier: Apache-2.0
"""What is said to people, in English and Japanese."""
