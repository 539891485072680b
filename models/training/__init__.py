# SPDX-License-Identifier: Apache-2.0
"""The training room: one fit loop, recipe files, augmentation; what every recipe of models.recipes trains with."""
