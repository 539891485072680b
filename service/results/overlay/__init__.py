# SPDX-License-Identifier: Apache-2.0
"""What lies over the source images: presentation states, segmentations and parametric maps."""
