# SPDX-License-Identifier: Apache-2.0
"""Pure functions on arrays: grey scale, orientation, resampling in mm, masks and CT stacks."""
