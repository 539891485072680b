# SPDX-License-Identifier: Apache-2.0
"""What every result object has: its maker, its UIDs, its series and its bytes."""
