# SPDX-License-Identifier: Apache-2.0
"""What `dokuei phantom` calls: writes phantoms of one kind, their variants and previews, and lists what there is."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.phantoms.dicom import PhantomStudy
from models.phantoms.head import HEAD_FINDINGS
from models.phantoms.lesion.kinds import KINDS
from models.phantoms.orders import PLANNERS, derived_seeds
from models.phantoms.preview import write_preview
from models.phantoms.variants.plans import Plan, plain_study
from models.phantoms.variants.table import VARIANTS, owed, variant_named, write_variant
from models.phantoms.variants.variant import Expected, Variant
from service.domain.errors import ConfigurationError

Total = Callable[[int], object]
Written = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for: `count` phantoms of a kind from `seed` on, plain or as a variant; options as in `orders`."""

    kind: str
    out: Path
    seed: int = 1
    count: int = 1
    variant: str = ""
    preview: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def generate(order: Order, *, total: Total, written: Written) -> tuple[Path, ...]:
    """Write the phantoms, each in a folder of its own, and return these folders.

    `total` is told how many files there will be before the first, `written` is called after each.

    Raises
    ------
    ConfigurationError
        An unknown name, a value that cannot be drawn, or a folder that holds something else.
    """
    variant = variant_named(order.kind, order.variant) if order.variant else None
    plans = {seed: PLANNERS[order.kind](seed, order.options) for seed in derived_seeds(order.seed, order.count)}
    total(sum(plan.files for plan in plans.values()))
    return tuple(_one(order, seed, plan, variant=variant, written=written) for seed, plan in plans.items())


def _one(order: Order, seed: int, plan: Plan, *, variant: Variant | None, written: Written) -> Path:
    folder = order.out / "-".join(filter(None, (order.kind, f"{seed:04d}", order.variant)))
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"the folder '{folder}' is not empty; name another with --out, or remove it")
    study = plain_study(order.kind, str(seed))
    if variant is None:
        folder.mkdir(parents=True, exist_ok=True)
        paths = plan.write(folder, study, written=written)
    else:
        paths = _as_variant(plan, study, variant, folder, written=written)
    if order.preview and (variant is None or variant.expected is not Expected.UNREADABLE):
        write_preview(paths, folder / "preview.png")
    return folder


def _as_variant(
    plan: Plan, study: PhantomStudy, variant: Variant, folder: Path, *, written: Written
) -> tuple[Path, ...]:
    plain = Path(tempfile.mkdtemp(prefix="dokuei-phantom-"))
    try:
        return write_variant(variant, plan.write(plain, study, written=written), folder)
    finally:
        shutil.rmtree(plain)


def listed(kind: str) -> tuple[tuple[str, str, str], ...]:
    """Return (name, what it is, what the node must do) of each variant of a kind; of kinds or findings elsewhere."""
    if kind == "voi":
        return tuple((name, drawn.says, "") for name, drawn in KINDS.items())
    if kind == "head-ct":
        return tuple((name, says, "") for name, says in HEAD_FINDINGS.items())
    return tuple((variant.name, variant.change, owed(variant)) for variant in VARIANTS[kind])
