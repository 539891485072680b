# SPDX-License-Identifier: Apache-2.0
"""The plain studies that variants start from: one acceptable study of each kind, at full size or small for tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import Disease
from models.phantoms.computed_tomography import ChestPhantom, Involvement
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import PhantomStudy, write_dx
from models.phantoms.mammogram.breast import VIEWS, Breast, Lesion, ViewName
from models.phantoms.mammogram.files import write_mg_view
from models.phantoms.mammogram.view import draw_view

Written = Callable[[], object]
"""Called after each file, for whoever shows progress."""


def nobody() -> None:
    """Show no progress."""


class Plan(Protocol):
    """A plain study that can be written."""

    @property
    def files(self) -> int:
        """How many files it has."""

    def write(self, folder: Path, study: PhantomStudy, *, written: Written = nobody) -> tuple[Path, ...]:
        """Write the study's files into the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiographPlan:
    """A PA chest film with dust opacities."""

    seed: int = 11
    shape: tuple[int, int] = (2100, 1900)
    pitch_mm: float = 0.2
    disease: Disease = Disease(  # noqa: RUF009 - frozen
        levels={"RU": 10, "LU": 10, "RM": 9, "LM": 8, "RL": 5, "LL": 5}, primary="q", secondary="q"
    )

    @property
    def files(self) -> int:
        """One film."""
        return 1

    def write(self, folder: Path, study: PhantomStudy, *, written: Written = nobody) -> tuple[Path, ...]:
        """Write one DX file."""
        body = anatomy(self.seed, shape=self.shape, pitch_mm=self.pitch_mm)
        picture = radiograph(body, disease=self.disease, seed=self.seed)
        path = write_dx(folder / "film.dcm", stored(picture), study=study, pixel_spacing_mm=self.pitch_mm)
        written()
        return (path,)


_BASAL = (
    Involvement(pattern="reticulation", levels=(0.5, 1.0), depth_mm=22, share=0.8),
    Involvement(pattern="honeycombing", levels=(0.6, 1.0), depth_mm=14, share=0.8),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChestCtPlan:
    """A thin-section chest CT with honeycombing at the bases, its slices next to one another."""

    phantom: ChestPhantom = ChestPhantom(seed=41, involvements=_BASAL, slices=160)  # noqa: RUF009 - frozen
    thickness_mm: float = 1.5

    @property
    def files(self) -> int:
        """One for each slice."""
        return self.phantom.slices

    def write(self, folder: Path, study: PhantomStudy, *, written: Written = nobody) -> tuple[Path, ...]:
        """Write one CT file for each slice."""
        return write_ct_series(folder, self.phantom, study=study, thickness_mm=self.thickness_mm, written=written)


_MASS = Lesion(depth_mm=38, lateral_mm=8, superior_mm=6, radius_mm=8, density_per_cm=0.6, seed=3)
BREAST = Breast(side="L", seed=5, lesions=(_MASS,))


@dataclass(frozen=True, slots=True, kw_only=True)
class MammogramPlan:
    """Both views of both breasts, or of the left one, with a mass in the left."""

    left: Breast | None = BREAST
    right: Breast | None = replace(BREAST, side="R", seed=6, lesions=())  # noqa: RUF009 - frozen
    views: tuple[ViewName, ...] = VIEWS
    pitch_mm: float = 0.1
    size_mm: tuple[float, float] = (240.0, 180.0)

    @property
    def _breasts(self) -> tuple[Breast, ...]:
        return tuple(breast for breast in (self.left, self.right) if breast is not None)

    @property
    def files(self) -> int:
        """One for each view."""
        return len(self._breasts) * len(self.views)

    def write(self, folder: Path, study: PhantomStudy, *, written: Written = nobody) -> tuple[Path, ...]:
        """Write one MG file for each view, the left breast first."""
        paths = []
        for breast in self._breasts:
            for view in self.views:
                paths.append(self._view(folder, breast, view, study))
                written()
        return tuple(paths)

    def _view(self, folder: Path, breast: Breast, view: ViewName, study: PhantomStudy) -> Path:
        picture = draw_view(breast, view, pitch_mm=self.pitch_mm, size_mm=self.size_mm)
        path = folder / f"{breast.side.lower()}-{view.lower()}.dcm"
        return write_mg_view(path, picture, breast=breast, view=view, study=study).path


_SMALL_BREAST = replace(BREAST, depth_mm=72, half_width_mm=58, half_height_mm=60, thickness_mm=45)

FULL_PLANS: Mapping[str, Plan] = MappingProxyType(
    {"radiograph": RadiographPlan(), "hrct": ChestCtPlan(), "mammogram": MammogramPlan()}
)
SMALL_PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        "radiograph": RadiographPlan(shape=(1330, 1240), pitch_mm=0.3),
        "hrct": ChestCtPlan(
            phantom=ChestPhantom(
                seed=41, involvements=_BASAL, slices=16, matrix=384, pixel_mm=0.93, lung_length_mm=64.0
            ),
            thickness_mm=2.0,
        ),
        "mammogram": MammogramPlan(left=_SMALL_BREAST, right=None, size_mm=(165.0, 105.0)),
    }
)
"""The same kinds of study, as small as the gates allow: a minute of tests instead of ten."""


def plain_study(kind: str, seed: str) -> PhantomStudy:
    """Return whose study it is."""
    return PhantomStudy(seed=f"{kind}-{seed}", patient_sex="F" if kind == "mammogram" else "O")
