# SPDX-License-Identifier: Apache-2.0
"""The composition root: Settings become running objects here, and nowhere else does one room meet all the others."""
