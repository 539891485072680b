# SPDX-License-Identifier: Apache-2.0
"""Secondary Captures: heatmaps and pages that every viewer shows."""
