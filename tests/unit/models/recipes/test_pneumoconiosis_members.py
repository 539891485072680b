# SPDX-License-Identifier: Apache-2.0
"""Zone readers that vote: which recipes are refused, folds without shared bodies, and a package that the node reads."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harness.shipped import shipped
from harness.variants import stored_instance
from models.networks.zone_ensemble import ENSEMBLE_OUTPUTS, ZoneEnsemble
from models.networks.zone_profusion import ABNORMAL, FAMILIES, ZoneProfusion
from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import ZONES, Disease
from models.phantoms.dicom import PhantomStudy, write_dx
from models.recipes import pneumoconiosis_members, pneumoconiosis_sets
from models.recipes.pneumoconiosis import make_package
from models.recipes.pneumoconiosis_data import ZoneSet, zone_set
from models.recipes.pneumoconiosis_doubts import disagreement_limits
from models.recipes.pneumoconiosis_film_zones import Versions, film_zone_set
from models.recipes.pneumoconiosis_films import listed_films
from models.recipes.pneumoconiosis_members import train_ensemble, votes_table
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe, ZoneNetwork
from models.training.fit import FitError, Places
from models.training.recipe_file import RecipeError, parse_recipe, read_document
from service.domain.image import IDENTITY
from service.domain.study import Selection
from service.inference.package import LoadedPackage, load_package
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline
from service.pipelines.pneumoconiosis.lungs import Film, Lungs

RECIPE = Path(pneumoconiosis_members.__file__).with_name("pneumoconiosis_ensemble.yaml")
QUIET = Places(progress=False)
TWO = ("vgg16-diagonal", "densenet121")
"""Members of the package of the tests: one of a single band, and one of all with another head."""
PLAIN_ZONES = [{"part": [9, 12], "settings": {"epochs": 1, "batch": 6, "peak_rate": 0.004}}]


def recipe(*, effort: str | None = None, **changes: Any) -> PneumoconiosisRecipe:
    """Return the committed recipe, of phantoms alone."""
    document = read_document(RECIPE, effort=effort)
    changed = {**document, "films": None, "name": "pneumoconiosis-phantom-demo", **changes}
    return parse_recipe(changed, PneumoconiosisRecipe, source="test")


def test_the_committed_recipe_has_four_families_and_the_diagonal_detail_alone() -> None:
    ensemble = recipe().ensemble
    assert ensemble is not None
    assert {member.family for member in ensemble.members.values()} == set(FAMILIES[-4:])
    assert [member.bands for member in ensemble.members.values() if len(member.bands) == 1] == [("cD",)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ensemble": {"members": {"one": {}}}}, r"ensemble\.members: [Dd]ictionary should have at least 2 items"),
        ({"ensemble": {"members": {"a": {"family": "vgg13"}, "b": {}}}}, "'vgg13' is unknown; use one of plain, vgg16"),
        ({"ensemble": {"members": {"a": {"wavelet": "db3"}, "b": {}}}}, "'db3' is unknown; use one of haar, db2"),
        ({"ensemble": {"members": {"a": {"bands": ["D"]}, "b": {}}}}, 'value "D" is not accepted: .*cA.*cD'),
        ({"ensemble": {"members": {"a": {"bands": []}, "b": {}}}}, "at least 1 item"),
        ({"ensemble": {"members": {"a": {"bands": ["cD", "cD"]}, "b": {}}}}, "one is named twice"),
        ({"ensemble": {"members": {"a": {}, "b": {"bands": ["cD"]}, "c": {}}}}, "members a and c are the same reader"),
        ({"ensemble": {"members": {"a b": {}, "b": {"bands": ["cD"]}}}}, "a b"),
        ({"ensemble": {"members": {"a": {}, "b": {"bands": ["cD"]}}, "folds": 1}}, "greater than or equal to 2"),
        ({"network": {"family": "vgg16-small"}}, "an ensemble has members of its own; remove network, or ensemble"),
        (
            {"ensemble": None, "network": {"family": "vgg16"}, "fit": {"lungs": [], "zones": PLAIN_ZONES}},
            "lungs",
        ),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        recipe(**changes)


def test_parts_that_cut_a_coarse_maps_cells_are_refused() -> None:
    fit = read_document(RECIPE)["fit"] | {"zones": PLAIN_ZONES}
    with pytest.raises(
        RecipeError, match=r"part \[9, 12\] does not hold whole cells of vgg16's map, .* multiples of 2"
    ):
        recipe(ensemble=None, network={"family": "vgg16"}, fit=fit)
    assert recipe(ensemble=None, network={"family": "vgg16-small"}, fit=fit).network.family == "vgg16-small"


def test_exposures_of_a_phantom_are_of_one_body() -> None:
    zones = zone_set(7, bodies=2, exposures=2, shifted=None)
    assert np.unique(zones.films).tolist() == [0, 1, 2, 3]
    assert [zones.bodies[zones.films == film].tolist() for film in range(4)] == [[0] * 6, [0] * 6, [1] * 6, [1] * 6]


def ellipse(x: float, y: float, width: float, height: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:700, :600]
    return np.asarray(((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1)


def test_versions_of_a_film_and_films_of_a_patient_are_of_one_body() -> None:
    lungs = Lungs(right=ellipse(180, 350, 90, 250), left=ellipse(420, 350, 90, 250), heart=ellipse(300, 450, 40, 90))
    film = Film(pixels=np.full((700, 600), 0.4, np.float32), pixel_mm=0.5, to_source=IDENTITY)
    zones = film_zone_set([(film, lungs)] * 3, [31, 31, 8], seed=1, versions=Versions(clean=2, overlaid=0))
    assert zones.films.tolist() == np.repeat(np.arange(6), 6).tolist()
    assert zones.bodies.tolist() == [31] * 24 + [8] * 12


def test_real_films_keep_their_patients_when_some_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A film's patient is told by its grey; those of even patients cannot be read."""

    def film(path: Path, listed: Any) -> Film:
        return Film(pixels=np.full((8, 8), listed.patient, np.float64), pixel_mm=0.5, to_source=IDENTITY)

    monkeypatch.setattr(pneumoconiosis_sets, "read_film", film)
    monkeypatch.setattr(pneumoconiosis_sets, "_on_film", lambda _picture, _masks: None)
    monkeypatch.setattr(pneumoconiosis_sets, "is_readable", lambda film, _: film.pixels[0, 0] % 2 == 1)
    pairs, patients = pneumoconiosis_sets._normals({each.image: Path() for each in listed_films()}, "training")
    assert [int(picture.pixels[0, 0]) for picture, _ in pairs] == patients
    assert len(patients) > len(set(patients)) > 20, "the list has patients with several films"
    assert all(patient % 2 for patient in patients)


def brightness_set(levels: list[int], bodies: list[int]) -> ZoneSet:
    """Return a zone for each level, as bright as it is high."""
    flat = torch.tensor(levels)
    return ZoneSet(
        tensors=(flat.float() / 16)[:, None, None, None].expand(-1, 2, 288, 288).half(),
        opacity_mm=(flat > 0).float()[:, None, None, None].expand(-1, 1, 18, 18),
        levels=flat,
        shapes=(flat >= 2).float()[:, None] * torch.eye(6)[:1],
        films=np.arange(len(levels)),
        bodies=np.array(bodies),
    )


class Threshold(ZoneProfusion):
    """Calls a zone 1/0 or more from a level on that is the same for all zones."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, zone: torch.Tensor) -> Any:
        """Return logits that rise with brightness, the others of zeros."""
        logits = (16 * zone[:, 0].mean(dim=(1, 2)) - self.least + 0.5)[:, None] + torch.zeros(11)
        return logits, torch.zeros((len(zone), 6)), torch.zeros((len(zone), 1, 18, 18)), torch.zeros((len(zone), 64))


LEVELS, BODIES = [0, 2, 3, 5, 0, 4, 6, 8, 1, 3, 7, 9], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def trained_by(monkeypatch: pytest.MonkeyPatch, least: Mapping[str, float]) -> tuple[Any, list[tuple[str, set[int]]]]:
    """Train an ensemble whose members, by family, call zones from a level on; return it and what each run was given."""
    runs: list[tuple[str, set[int]]] = []

    def train(data: ZoneSet, *, network: ZoneNetwork, run: Any, **rest: object) -> ZoneProfusion:
        runs.append((run.name, set(data.bodies.tolist())))
        return Threshold(least[network.family]).eval()

    monkeypatch.setattr(pneumoconiosis_members, "train_zones", train)
    asked = recipe(ensemble={"members": {family: {"family": family} for family in least}, "folds": 2})
    assert asked.ensemble is not None
    return train_ensemble(brightness_set(LEVELS, BODIES), asked, asked.ensemble, places=QUIET), runs


def test_weights_come_from_bodies_that_a_folds_network_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who calls zones from level 5 on misses those of 3 and 4; who calls from 3 on, which is 1/0, misses none."""
    ensemble, runs = trained_by(monkeypatch, {"vgg16-small": 5.0, "plain": 3.0})
    for family in ("vgg16-small", "plain"):
        (whole,) = (bodies for name, bodies in runs if name == f"zones-{family}")
        folds = [bodies for name, bodies in runs if name.startswith(f"zones-{family}-fold-")]
        assert whole == {0, 1, 2, 3}
        assert len(folds) == 2
        assert folds[0] | folds[1] == whole
        assert not folds[0] & folds[1], "with two folds, a body that trains one is held out of the other"
    missed = sum(3 <= level < 5 for level in LEVELS)
    errors = {member.name: member.error for member in ensemble.members}
    assert errors == pytest.approx({"vgg16-small": missed / 12, "plain": 0.0})
    alphas = {member.name: member.alpha for member in ensemble.members}
    assert alphas["vgg16-small"] == pytest.approx(math.log((12 - missed) / missed))
    assert alphas["plain"] == pytest.approx(math.log(11.5 / 0.5)), "no error counts as half a case"


def test_members_that_only_guess_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FitError, match=r"no member is better than guessing among 2 classes: plain: .*; train the memb"):
        trained_by(monkeypatch, {"vgg16-small": 99.0, "plain": 99.0})


def test_members_disagree_more_than_usual_above_the_99th_percentile_of_tuning_films() -> None:
    """The divergence of a zone is that of its grey; a film's is the mean of six."""

    class Diverging(ZoneEnsemble):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def forward(self, zone: torch.Tensor) -> Any:
            return (None,) * ENSEMBLE_OUTPUTS.index("divergence") + (zone[:, 0, 0, 0],)

    grey = np.random.default_rng(4).uniform(0, 0.6, size=(2, 300)).astype(np.float16)
    shown = torch.from_numpy(grey)[..., None, None, None].expand(-1, -1, 2, 1, 1)
    sets = [replace(brightness_set([0], [0]), tensors=tensors) for tensors in shown]
    (limit,) = disagreement_limits(Diverging(), sets)
    expected = np.quantile(grey.astype(np.float64).reshape(100, 6).mean(axis=1), 0.99, method="higher")
    assert (limit.graph, limit.output, limit.n, limit.quantile) == ("zones", "divergence", 100, 0.99)
    assert limit.threshold == pytest.approx(expected, abs=1e-6)


@pytest.mark.timeout(600)
def test_the_quick_effort_makes_a_package_and_the_node_tells_of_their_votes(tmp_path: Path) -> None:
    """One test: the package takes half a minute, and each worker would make one of its own. Two of the four members."""
    ensemble = read_document(RECIPE)["ensemble"]
    two = {name: ensemble["members"][name] for name in TWO}
    made = recipe(effort="quick", ensemble={**ensemble, "members": two})
    folder = make_package(tmp_path / "packages", made, source="r.yaml", places=QUIET)
    package = load_package(folder)
    check_graph(package)
    check_card((folder / "MODEL_CARD.md").read_text())
    check_reading(package, tmp_path)


def check_graph(package: LoadedPackage) -> None:
    """It has every output, and the map adds up."""
    zones = zone_set(8, bodies=1, exposures=1, shifted=None).tensors.float().numpy()
    outputs = package.run("zones", {"zones": zones})
    assert set(outputs) == set(ENSEMBLE_OUTPUTS)
    np.testing.assert_allclose(outputs["cam"].mean(axis=(1, 2, 3)), outputs["profusion_logits"][:, ABNORMAL], atol=1e-4)


def check_card(card: str) -> None:
    """It tells of every member, unseen scanners first."""
    assert all(card.count(f"\n| {name} |") == 1 for name in TWO)
    assert "| weighted mean of the logits, which is read |" in card
    assert card.index("scanner-shift: AUC") < card.index("in-domain: AUC")
    assert "vgg16-diagonal (vgg16-small over the band cD of Haar)" in card


class LungsOfAnother:
    """A package whose lung finder is another's: that of the quick effort finds no lungs."""

    def __init__(self, package: LoadedPackage, other: LoadedPackage) -> None:
        self._package, self._other = package, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> Any:
        """Run a graph of one or the other."""
        return (self._other if graph == "lungseg" else self._package).run(graph, inputs)


def check_reading(package: LoadedPackage, tmp_path: Path) -> None:
    """The node says how sure the votes are, and how far they agree."""
    body = anatomy(12, shape=(840, 760), pitch_mm=0.5)
    disease = Disease(levels=dict.fromkeys(ZONES, 8), primary="q", secondary="q")
    pixels = stored(radiograph(body, disease=disease, seed=1))
    film = stored_instance(
        write_dx(tmp_path / "film.dcm", pixels, study=PhantomStudy(seed="votes"), pixel_spacing_mm=0.5)
    )
    pipeline = PneumoconiosisPipeline()
    selection = pipeline.select([film], {**package.acceptance, "pixel_spacing_max_mm": 0.5})
    assert isinstance(selection, Selection)
    mixed = LungsOfAnother(package, load_package(shipped("pneumoconiosis-demo")))
    result = pipeline.run(selection, mixed, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))  # type: ignore[arg-type]
    assert not result.refusals
    margin, divergence = result.values["mean_margin"], result.values["mean_divergence"]
    assert 0 < margin <= 1
    assert 0 < divergence < math.log(len(TWO))
    told = (
        f"Confidence: mean margin {margin:.2f} between 1/0 or more and less",
        f"Disagreement of the models: mean divergence {divergence:.2f} nats",
    )
    assert result.summary[-2:] == told
    assert result.heatmaps[0].lines[-2:] == told


def test_the_table_sets_members_against_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble, _ = trained_by(monkeypatch, {"vgg16-small": 5.0, "plain": 3.0})
    films = replace(brightness_set([0] * 6 + [9] * 6, [0] * 12), films=np.repeat([0, 1], 6))
    monkeypatch.setattr(ensemble, "forward", lambda zone: _votes(ensemble, zone))
    rows = votes_table(ensemble, {"unseen": brightness_set(LEVELS, BODIES)}, films).splitlines()
    assert rows[0] == "| | unseen: AUC | unseen: kappa | normal real films called | out-of-fold error | weight |"
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| plain",
        "| vgg16-small",
        "| weighted mean of the logits, which is read",
        "| soft vote",
        "| hard vote",
    ]
    assert rows[2].endswith("| 0 of 1 | 0.000 | 3.14 |")
    assert rows[5].startswith("| soft vote | 1.000 | - | - | - |")


def _votes(ensemble: Any, zone: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Combine members that have no depths."""
    each = [network(zone) for network in ensemble.networks]
    logits = sum(float(weight) * found[0] for weight, found in zip(ensemble.weights, each, strict=True))
    share = torch.sigmoid(logits[:, ABNORMAL : ABNORMAL + 1])
    both = torch.cat([1 - share, share], dim=1)
    return (logits, each[0][1], each[0][2], each[0][3], both, both, share[:, 0], share[:, 0])
