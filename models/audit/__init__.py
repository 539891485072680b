# SPDX-License-Identifier: Apache-2.0
"""Tests of a package's explanation maps: do they follow the weights, the score and the anatomy, and do they repeat."""
