# SPDX-License-Identifier: Apache-2.0
"""Measures on held-out cases how far scores can be believed, for packages to declare: never in the node."""
