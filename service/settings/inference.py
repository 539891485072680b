# SPDX-License-Identifier: Apache-2.0
"""Sections `pipelines` and `inference` of config.yaml: which packages run, on what, and within which limits."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from service.settings.base import Section, Timeout
from service.settings.signatures import SignatureSettings

Provider = Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "openvino_bf16"]
"""Where graphs run; "auto" is CUDA where ONNX Runtime has it, then the CPU."""


class PackageSettings(Section):
    """A model package by name and version."""

    package: str
    version: str


class PipelineSettings(PackageSettings):
    """Which model package a pipeline runs, and which others see the same studies without anybody being told."""

    shadow: tuple[PackageSettings, ...] = Field(default=(), max_length=4)
    """Packages that are computed too and compared in the ledger: nothing of theirs is sent or raises a priority."""
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    """Share of the site's studies of this pipeline with disease, for the predictive values that reports print."""
    drift: bool = True
    """Whether the pipeline's studies are watched for drift (section `drift`)."""
    decile: bool = True
    """Mammography: say in which tenth of the site's own exams a score lies; needs `drift`, which keeps the scores."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        named = [(self.package, self.version), *((item.package, item.version) for item in self.shadow)]
        doubled = [" ".join(name) for name in dict.fromkeys(named) if named.count(name) > 1]
        if doubled:
            raise ValueError(f"package {doubled[0]!r} is named twice; a shadow differs from the active package")
        return self


class InferenceSettings(Section):
    """The child processes that decode and infer."""

    provider: tuple[Provider, ...] = ("auto",)
    """One execution provider, or several in the order in which they are tried; none that is not named is used."""
    workers: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=0, ge=0, le=256)
    """Threads of one session; 0 takes the number of cores divided by `workers`."""
    deadline_seconds: Timeout = 600
    memory_bytes: int = Field(default=12_000_000_000, ge=1_000_000_000)
    """Address space that one child may use (without a GPU only: CUDA reserves more than it uses)."""
    gpu_memory_bytes: int = Field(default=0, ge=0)
    """Most that one session may take of a GPU's memory; 0 sets no limit."""
    packages_folder: Path | None = None
    """Folder of model packages; the packages that came with Dokuei when absent."""
    signatures: SignatureSettings = SignatureSettings()
    self_test_hours: float = Field(default=24, ge=0, le=720)
    """How often the loaded packages must reproduce their golden outputs again; 0 tests at their start only."""
    self_test_studies: bool = True
    """Run the golden studies of the packages in use too: after each start and reload, and every `self_test_hours`."""

    @field_validator("provider", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("provider")
    @classmethod
    def _in_order(cls, value: tuple[Provider, ...]) -> tuple[Provider, ...]:
        if not value:
            raise ValueError("an empty list names no provider; name one, or leave the key out")
        if "auto" in value and len(value) > 1:
            raise ValueError("'auto' is an order by itself; name the providers instead, for example [cuda, cpu]")
        if len(set(value)) < len(value):
            raise ValueError(f"[{', '.join(value)}] names a provider twice; name each once, the preferred one first")
        return value
