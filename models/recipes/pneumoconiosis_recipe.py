# SPDX-License-Identifier: Apache-2.0
"""What a recipe file for the pipeline pneumoconiosis may say."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.networks.wavelet import BANDS, WAVELETS, Band
from models.networks.zone_profusion import FAMILIES, ZoneProfusion, cell_px
from models.recipes.zone_augmentation import CELL_PX
from models.training.fit_settings import FitSettings
from models.training.recipe import Recipe
from service.inference.manifest_types import Slug, Strict, Text

Count = Annotated[int, Field(ge=1)]
PHANTOMS_ONLY = "phantom"
"""A package that has seen no real film has this word in its name."""


class Data(Strict):
    """Phantoms to draw: films for the lung finder; bodies and exposures of each for the zone reader."""

    films: Count
    bodies: Count
    exposures: Count


class Films(Strict):
    """Real films, from the list `models/recipes/pneumoconiosis_films.csv`, whose SHA-256 is `list_sha256`.

    The zone reader gets each normal film `clean` times as it is and `overlaid` times with a disease drawn into it, the
    lung finder each film with taught masks `repeats` times.
    """

    folder: Text
    list_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    repeats: Count = 2
    clean: Count = 2
    overlaid: Count = 2


class ZoneNetwork(Strict):
    """The zone reader's family, `plain` or one of `models.networks.classifier`, and what of a wavelet it looks at."""

    family: str = FAMILIES[0]
    wavelet: str = WAVELETS[0]
    bands: tuple[Band, ...] = Field(default=BANDS, min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Self:
        for key, value, known in (("family", self.family, FAMILIES), ("wavelet", self.wavelet, WAVELETS)):
            if value not in known:
                raise ValueError(f"{key} {value!r} is unknown; use one of {', '.join(known)}")
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands {', '.join(self.bands)}: one is named twice; name each once")
        return self

    def build(self) -> ZoneProfusion:
        """Return the reader with first weights from torch's global generator."""
        return ZoneProfusion(family=self.family, wavelet=self.wavelet, bands=self.bands)


class Ensemble(Strict):
    """Readers by name that vote in one graph, and the folds that their weights come from; in place of `network`."""

    members: Annotated[dict[Slug, ZoneNetwork], Field(min_length=2)]
    folds: Annotated[int, Field(ge=2)] = 2

    @model_validator(mode="after")
    def _differ(self) -> Self:
        """Refuse twins: all members start from one seed, so that twins would be one reader with two votes."""
        names: dict[ZoneNetwork, str] = {}
        for name, member in self.members.items():
            twin = names.setdefault(member, name)
            if twin != name:
                raise ValueError(f"members {twin} and {name} are the same reader; change or remove one")
        return self


class ZonePass(Strict):
    """One fit of the zone reader; of each zone `part` (rows, columns) is looked at, in cells of 8 mm."""

    part: tuple[Annotated[int, Field(ge=4, le=12)], Annotated[int, Field(ge=4, le=18)]] = (12, 18)
    settings: FitSettings


class Fit(Strict):
    """The fits of the lung finder and those of the zone reader, each one after the other."""

    lungs: Annotated[list[FitSettings], Field(min_length=1)]
    zones: Annotated[list[ZonePass], Field(min_length=1)]


class HeldOut(Strict):
    """Phantoms that the model card reports on: bodies and exposures of each, for each condition."""

    bodies: Count
    exposures: Count


class Calibration(Strict):
    """What the package says of its doubts: distances from training; calibrated scores and sets of profusion steps.

    With `distances`, an ensemble also gets the limit above which its members disagree more than they usually do.
    """

    distances: bool = True
    scores: bool = True


class Findings(Strict):
    """What the graphs of large opacities and of the pleura are fitted to, beside small opacities drawn on half of it.

    Phantoms: `exposures` films of `bodies`; real normal films: each `clean` times as it is, `drawn` times drawn into.
    """

    bodies: Count
    exposures: Count
    clean: Count = 2
    drawn: Count = 3
    fit: Annotated[list[FitSettings], Field(min_length=1)]
    held_out: HeldOut


class PneumoconiosisRecipe(Recipe):
    """A lung finder and a zone reader of the pipeline pneumoconiosis; with `findings`, two more graphs.

    With `ensemble` the zone reader is several that vote.
    """

    pipeline: Literal["pneumoconiosis"]
    network: ZoneNetwork = ZoneNetwork()
    ensemble: Ensemble | None = None
    data: Data
    films: Films | None = None
    fit: Fit
    held_out: HeldOut
    calibration: Calibration = Calibration()
    findings: Findings | None = None

    @model_validator(mode="after")
    def _says_what_it_has_seen(self) -> Self:
        if (self.films is None) != (PHANTOMS_ONLY in self.name):
            raise ValueError(
                f"name {self.name!r}: a package whose recipe has no section films has {PHANTOMS_ONLY!r} in its name, "
                "and no other has; rename it or add films"
            )
        if self.split.validation:
            raise ValueError("split.validation: this pipeline's split is in its list of films; leave split out")
        return self

    @model_validator(mode="after")
    def _readers_fit(self) -> Self:
        if self.ensemble and self.network != ZoneNetwork():
            raise ValueError("an ensemble has members of its own; remove network, or ensemble")
        for family in sorted({reader.family for reader in self.readers.values()}):
            cells = cell_px(family) // CELL_PX
            for each in self.fit.zones:
                if any(side % cells for side in each.part):
                    raise ValueError(
                        f"fit.zones: part {list(each.part)} does not hold whole cells of {family}'s map, which are "
                        f"{cells} x {cells} of 8 mm; use multiples of {cells}"
                    )
        return self

    @property
    def readers(self) -> Mapping[str, ZoneNetwork]:
        """The zone readers that are trained, by name; one without a name where none votes."""
        return self.ensemble.members if self.ensemble else {"": self.network}
