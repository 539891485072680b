# SPDX-License-Identifier: Apache-2.0
"""The confusion report of report 000: twelve patterns against twelve, an old package against a proposed one."""
