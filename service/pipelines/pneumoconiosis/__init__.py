# SPDX-License-Identifier: Apache-2.0
"""Reads small opacities of pneumoconiosis on PA chest radiographs, zone by zone, on the ILO scale."""

from service.pipelines.pneumoconiosis.pipeline import PneumoconiosisPipeline

__all__ = ["PneumoconiosisPipeline"]
