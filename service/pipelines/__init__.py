# SPDX-License-Identifier: Apache-2.0
"""The clinical pipelines, by the name that config.yaml gives them."""

from types import MappingProxyType

from service.pipelines.diffuse_lung.pipeline import DiffuseLung
from service.pipelines.mammography import MammographyPipeline
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline
from service.ports import Pipeline

PIPELINES: MappingProxyType[str, Pipeline] = MappingProxyType(
    {
        "diffuse_lung": DiffuseLung(),
        "mammography": MammographyPipeline(),
        "pneumoconiosis": PneumoconiosisPipeline(),
    }
)
"""Every pipeline that this build knows; a new one is one row here."""
