# SPDX-License-Identifier: Apache-2.0
"""How far the extent of each pattern in each zone is from what was drawn, in percentage points."""
