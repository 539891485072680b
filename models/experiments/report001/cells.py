# SPDX-License-Identifier: Apache-2.0
"""The cells of the report's table: which networks are trained on what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from models.experiments.report001.training import Effort
from models.networks.wavelet import BANDS, Band

WAVELETS = {"haar": "haar", "Daubechies": "db4", "Symlet": "sym4", "Coiflet": "coif1"}
"""The report's families; it does not say of which order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of the table. `trained_on` "shuffled" is the control, whose scanners say nothing of the label."""

    network: str
    masked: bool
    wavelet: str = ""
    band: Band = "cA"
    trained_on: str = "collected"
    left_out_site: str = ""

    @property
    def name(self) -> str:
        """Of the file that keeps it."""
        front = f"{self.wavelet}-{self.band}" if self.wavelet else "raw"
        parts = [self.network, "masked" if self.masked else "unmasked", front, self.trained_on]
        return "_".join([*parts, *([f"without-{self.left_out_site}"] if self.left_out_site else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What all cells share."""

    networks: tuple[str, ...] = ("vgg16-small", "resnet50-small")
    size: int = 80
    epochs: int = 4
    folds: int = 3
    batch: int = 8
    seed: int = 0
    learning_rate: float = 3e-3
    weights: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"

    def effort(self, cell: Cell, films: int) -> Effort:
        """Return how this cell is trained where so many films are there, of which one fold is held out."""
        trained = films * (self.folds - 1) / self.folds
        return Effort(
            network=cell.network,
            steps=max(1, round(self.epochs * trained / self.batch)),
            batch=self.batch,
            weights=self.weights.get(cell.network, ""),
            learning_rate=self.learning_rate,
            wavelet=cell.wavelet,
            band=cell.band,
            seed=self.seed,
            device=self.device,
        )


def table_cells(networks: Iterable[str]) -> tuple[Cell, ...]:
    """Return masked and unmasked x raw and four wavelets' sub-bands x networks."""
    fronts: list[tuple[str, Band]] = [("", "cA"), *((code, band) for code in WAVELETS.values() for band in BANDS)]
    return tuple(
        Cell(network=network, masked=masked, wavelet=wavelet, band=band)
        for wavelet, band in fronts
        for network in networks
        for masked in (True, False)
    )


def control_cells(networks: Iterable[str]) -> tuple[Cell, ...]:
    """Return the raw cells again, trained where scanner and label have nothing to do with each other."""
    return tuple(
        Cell(network=network, masked=masked, trained_on="shuffled") for network in networks for masked in (True, False)
    )


def site_cells(networks: Iterable[str], sites: Iterable[str]) -> tuple[Cell, ...]:
    """Return the raw unmasked cells with one site left out of the training."""
    return tuple(Cell(network=network, masked=False, left_out_site=site) for network in networks for site in sites)
