# SPDX-License-Identifier: Apache-2.0
"""The bundle that installs a node without a network."""
