# SPDX-License-Identifier: Apache-2.0
"""Our own rules for result objects, by SOP class."""
