# SPDX-License-Identifier: Apache-2.0
"""The nouns of the node: immutable values that every room may speak of and that import no library."""
