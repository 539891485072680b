# SPDX-License-Identifier: Apache-2.0
"""The workbench: phantoms, networks, training recipes and export; nothing here runs in the node."""
