# SPDX-License-Identifier: Apache-2.0
"""How a package wants its studies analysed, read from the parameters of its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.domain.errors import PackageError
from service.pipelines.diffuse_lung.dense import DenseLung
from service.pipelines.diffuse_lung.groups import Grouping, parse_groups
from service.pipelines.diffuse_lung.patches import PatchRecipe
from service.pipelines.diffuse_lung.patterns import Pattern, parse_patterns
from service.pipelines.diffuse_lung.reading import Reading
from service.pipelines.diffuse_lung.rules import Rule, default_rules, parse_rules

NAME: Final = "diffuse_lung"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the package's manifest says of how to analyse."""

    recipe: PatchRecipe
    patterns: tuple[Pattern, ...]
    reading: Reading
    grouping: Grouping
    rules: tuple[Rule, ...]
    slice_step_mm: float
    batch: int
    whole_fields: bool
    dense_lung: DenseLung | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Plan":
        """Read the manifest's parameters; PackageError when one is missing or of another kind.

        `reading`, `groups` and `rules` may be left out: the documented defaults stand then. `whole_fields` says that
        the graph reads whole fields as it reads their patches; left out, patches are cut. `dense_lung` names the graph
        that sees lung without air; left out, thresholds alone find the lungs.
        """
        try:
            low, high = parameters["window_hu"]
            recipe = PatchRecipe(
                pixel_mm=float(parameters["pixel_mm"]),
                window_hu=(float(low), float(high)),
                patch_px=int(parameters["patch_px"]),
                stride_px=int(parameters["stride_px"]),
                least_lung=float(parameters["least_lung"]),
            )
            step, batch = float(parameters["slice_step_mm"]), int(parameters["batch"])
        except (KeyError, TypeError, ValueError) as error:
            raise PackageError(
                f"parameters: {error!r}; the pipeline {NAME} needs it as its package recipe says"
            ) from error
        whole_fields = parameters.get("whole_fields", False)
        if not isinstance(whole_fields, bool):
            raise PackageError(f"parameters.whole_fields: value {whole_fields!r} is neither true nor false")
        patterns, rules, dense = parse_patterns(parameters), parameters.get("rules"), parameters.get("dense_lung")
        return cls(
            recipe=recipe,
            patterns=patterns,
            reading=Reading.parse(parameters.get("reading", {})),
            grouping=parse_groups(parameters.get("groups"), patterns),
            rules=default_rules() if rules is None else parse_rules(rules),
            slice_step_mm=step,
            batch=batch,
            whole_fields=whole_fields,
            dense_lung=None if dense is None else DenseLung.parse(dense),
        )
