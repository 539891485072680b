# SPDX-License-Identifier: Apache-2.0
"""Mammography: mass candidates on standard views, breast scores and an exam score."""

from service.pipelines.mammography.pipeline import MammographyPipeline

__all__ = ["MammographyPipeline"]
