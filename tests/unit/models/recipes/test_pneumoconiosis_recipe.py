# SPDX-License-Identifier: Apache-2.0
"""The pneumoconiosis recipes: what they may say, real films and their masks, parts of zones, film readings."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import torch

from models.networks.zone_profusion import ZoneProfusion
from models.recipes import pneumoconiosis_films
from models.recipes.pneumoconiosis import make_package, operating_points
from models.recipes.pneumoconiosis_cuts import lower_cuts
from models.recipes.pneumoconiosis_data import ZoneSet, joined
from models.recipes.pneumoconiosis_evaluation import FilmReadings, Rate, rate, read_films
from models.recipes.pneumoconiosis_films import MissingFilmsError, find_films, list_digest, listed_films, read_film
from models.recipes.pneumoconiosis_lungs import LEFT_OUT, plausible, read_masks, teach, write_masks
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe
from models.recipes.pneumoconiosis_sets import draw, is_held_back
from models.recipes.zone_augmentation import augment_zones
from models.training.fit import Places
from models.training.recipe_file import RecipeError, parse_recipe, read_document
from service.domain.image import IDENTITY
from service.inference.package import load_package
from service.pipelines.pneumoconiosis.lungs import Film, Lungs

RECIPES = Path(pneumoconiosis_films.__file__).parent
REAL, PHANTOM = RECIPES / "pneumoconiosis.yaml", RECIPES / "pneumoconiosis_phantom.yaml"


def recipe(path: Path, *, effort: str | None = None, **changes) -> PneumoconiosisRecipe:
    document = {**read_document(path, effort=effort), **changes}
    return parse_recipe(document, PneumoconiosisRecipe, source=path.name)


@pytest.mark.timeout(600)
def test_phantoms_alone_make_a_package_that_loads_under_another_name(tmp_path):
    folder = make_package(tmp_path, recipe(PHANTOM, effort="quick"), source="r.yaml", places=Places(progress=False))
    package = load_package(folder)
    assert package.identity.name == "pneumoconiosis-phantom-demo"
    assert package.manifest.training.recipe == "python -m models.train r.yaml"
    assert package.manifest.training.metrics[0].condition == "scanner-shift"
    assert "real-films" not in {row.condition for row in package.manifest.training.metrics}
    assert "no image of a patient" in package.manifest.trained_on


def test_the_committed_recipes_can_be_read_and_know_the_list_of_films():
    films = recipe(REAL).films
    assert films is not None
    assert films.list_sha256 == list_digest()
    assert recipe(PHANTOM).films is None


@pytest.mark.parametrize(("path", "name"), [(REAL, "pneumoconiosis-phantom-demo"), (PHANTOM, "pneumoconiosis-demo")])
def test_a_name_must_say_whether_real_films_were_seen(path, name):
    with pytest.raises(RecipeError, match="rename it or add films"):
        recipe(path, name=name)


def test_without_the_films_the_recipe_refuses_and_says_what_is_missing(tmp_path):
    wanted = recipe(REAL, effort="quick")
    elsewhere = wanted.model_copy(update={"films": wanted.films.model_copy(update={"folder": str(tmp_path)})})
    with pytest.raises(MissingFilmsError, match=r"217 radiographs are missing.*NIH Clinical Center.*phantom\.yaml"):
        draw(elsewhere)


def test_another_list_of_films_is_refused(tmp_path):
    wanted = recipe(REAL, effort="quick")
    other = wanted.films.model_copy(update={"folder": str(tmp_path), "list_sha256": "0" * 64})
    with pytest.raises(MissingFilmsError, match="the list was changed"):
        draw(wanted.model_copy(update={"films": other}))


def test_a_file_of_another_content_is_refused(tmp_path):
    film = listed_films()[0]
    (tmp_path / film.folder).mkdir()
    (tmp_path / film.folder / film.image).write_bytes(b"another picture")
    with pytest.raises(MissingFilmsError, match="1 radiographs differ from their SHA-256"):
        find_films(tmp_path, [film])


def test_a_patient_is_in_one_split_alone():
    films = listed_films()
    assert len({film.image for film in films}) == len(films) == 217
    splits = Counter((film.patient, film.split) for film in films)
    assert len(splits) == len({film.patient for film in films})
    assert sum(map(is_held_back, films)) == 23


def test_a_film_regains_its_proportions(tmp_path):
    from PIL import Image

    film = next(film for film in listed_films() if film.row_mm > 1.1 * film.column_mm)
    path = tmp_path / film.image
    Image.fromarray(np.full((512, 512), 51, dtype=np.uint8)).save(path)
    picture = read_film(path, film)
    assert picture.pixels.shape == (math.floor(512 * film.row_mm / 0.5), math.floor(512 * film.column_mm / 0.5))
    assert picture.pixels.mean() == pytest.approx(0.2, abs=1e-6)


def test_taught_masks_are_of_films_that_may_be_learnt_from():
    masks = read_masks()
    splits = {film.image: film.split for film in listed_films()}
    assert {splits[name] for name in masks} == {"training", "tuning"}
    assert not LEFT_OUT & masks.keys()
    for mask in masks.values():
        assert mask.shape == (3, 256, 256)
        assert not (mask[0] & mask[1]).any()


def test_masks_come_back_from_their_file_as_they_were(tmp_path):
    masks = {name: np.random.default_rng(seed).random((3, 256, 256)) > 0.5 for seed, name in enumerate("ba")}
    write_masks(tmp_path / "m.npz", masks)
    read = read_masks(tmp_path / "m.npz")
    assert list(read) == ["a", "b"]
    np.testing.assert_array_equal(read["a"], masks["a"])
    np.testing.assert_array_equal(read["b"], masks["b"])


def ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
    rows, columns = np.mgrid[:256, :256]
    return ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1


RIGHT, LEFT, HEART = ellipse(80, 120, 34, 80), ellipse(176, 120, 34, 80), ellipse(128, 160, 14, 30)


def with_spur(mask: np.ndarray) -> np.ndarray:
    spur = mask.copy()
    spur[60:66, 10:80] = True
    return spur


def in_pieces(mask: np.ndarray) -> np.ndarray:
    bent = mask.copy()
    bent[60:180, 140:180] = False
    return bent


@pytest.mark.parametrize(
    ("right", "left", "heart", "expected"),
    [
        (RIGHT, LEFT, HEART, True),
        (RIGHT, ellipse(176, 120, 30, 60), HEART, True),
        (RIGHT, ellipse(176, 120, 25, 40), HEART, False),
        (RIGHT, LEFT, np.zeros_like(HEART), False),
        (with_spur(RIGHT), LEFT, HEART, False),
        (RIGHT, in_pieces(LEFT), HEART, False),
        (ellipse(80, 120, 12, 30), ellipse(176, 120, 12, 30), HEART, False),
    ],
)
def test_only_two_compact_lungs_with_a_heart_are_plausible(right, left, heart, expected):
    assert plausible(Lungs(right=right, left=left, heart=heart)) is expected


def test_a_film_teaches_only_when_the_answer_stays_under_another_tone():
    film = Film(
        pixels=np.linspace(0, 1, 256 * 256, dtype=np.float32).reshape(256, 256), pixel_mm=1.5, to_source=IDENTITY
    )
    steady = np.stack([RIGHT, LEFT, HEART]).astype(np.float32)[None]
    smaller = np.stack([ellipse(80, 120, 24, 70), ellipse(176, 120, 24, 70), HEART]).astype(np.float32)[None]
    masks = teach(lambda _: steady, film)
    assert masks is not None
    assert np.mean(masks[0] == RIGHT) > 0.99
    assert teach(lambda boxed: steady if boxed.mean() > 0.45 else smaller, film) is None


def zones(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.rand((count, 1, 288, 288), generator=torch.Generator().manual_seed(3))
    mask = torch.zeros((count, 1, 288, 288))
    mask[:, :, 64:224, 40:250] = 1
    return torch.cat([drawn * mask, mask], dim=1), torch.arange(count * 324.0).reshape(count, 1, 18, 18)


def test_parts_of_zones_keep_picture_mask_and_truth_together():
    images, truth = zones(6)
    truth = truth * 0
    truth[:, :, 4:14, 3:15] = 1  # where the mask is, cell by cell
    for seed in range(8):
        random = torch.Generator().manual_seed(seed)
        part, cells = augment_zones(images, truth, part=(6, 8), generator=random)
        assert part.shape == (6, 2, 96, 128)
        assert cells.shape == (6, 1, 6, 8)
        inside = torch.nn.functional.avg_pool2d(part[:, 1:], 16) > 0.5
        assert (inside == (cells > 0.5)).float().mean() > 0.85
        assert set(part[:, 1].unique().tolist()) <= {0.0, 1.0}
        assert part[:, 0].min() >= 0
        assert part[:, 0].max() <= 1


def test_outside_a_zone_nothing_can_be_read():
    images, truth = zones(3)
    part, _ = augment_zones(images, truth, part=(12, 18), generator=torch.Generator().manual_seed(1))
    for zone in part:
        assert zone[0][zone[1] == 0].std() < 1e-6


def test_one_generator_is_one_augmentation():
    images, truth = zones(4)
    first, again, other = (
        augment_zones(images, truth, part=(6, 8), generator=torch.Generator().manual_seed(seed))[0]
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class ReadsBrightness(ZoneProfusion):
    """Answers a zone's level from its brightness: 0.1 is level 1, 0.2 level 2 and so on."""

    def forward(self, zone):
        level = 10 * zone[:, 0].mean(dim=(1, 2))
        logits = 40 * (level[:, None] - torch.arange(11) - 0.5)
        return logits, torch.zeros((len(zone), 6)), torch.zeros((len(zone), 1, 18, 18)), torch.zeros((len(zone), 64))


def film_set(levels: list[list[int]], *, opacity: float = 1.0) -> ZoneSet:
    flat = torch.tensor(levels).flatten()
    tensors = (flat.float() / 10)[:, None, None, None].expand(-1, 2, 288, 288).half()
    return ZoneSet(
        tensors=tensors,
        opacity_mm=(flat > 0).float()[:, None, None, None].expand(-1, 1, 18, 18) * opacity,
        levels=flat,
        shapes=torch.zeros((len(flat), 6)),
        films=np.repeat(np.arange(len(levels)), 6),
        bodies=np.repeat(np.arange(len(levels)) // 2, 6),
    )


def test_films_are_read_as_the_pipeline_reads_them():
    films = read_films(ReadsBrightness().eval(), film_set([[0] * 6, [5, 5, 1, 1, 1, 1], [8] * 6, [1] * 6]))
    assert films.step.tolist() == [0, 5, 8, 1]
    assert films.truth.tolist() == [0, 5, 8, 0]
    assert films.called.tolist() == films.abnormal.tolist() == [False, True, True, False]
    assert films.clear.tolist() == [True, False, False, False]
    assert films.score.tolist() == pytest.approx([0, 1, 1, 0], abs=1e-6)


def test_joined_sets_keep_their_films_apart():
    both = joined([film_set([[0] * 6, [1] * 6]), film_set([[2] * 6])])
    assert both.films.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert both.levels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert both.bodies.tolist() == [0] * 12 + [1] * 6


def readings(clear: list[float], sick: list[float]) -> FilmReadings:
    truth = np.array([0.0] * len(clear) + [6.0] * len(sick))
    return FilmReadings(
        score=np.array(clear + sick),
        step=truth.astype(int),
        truth=truth,
        clear=truth == 0,
        above=np.zeros((len(truth), 11)),
    )


def test_operating_points_hold_on_phantoms_and_on_real_films_both():
    phantoms = readings([i / 100 for i in range(20)], [0.9] * 20)
    real = readings([0.3 + i / 100 for i in range(20)], [0.5 + i / 100 for i in range(20)])
    points = operating_points([phantoms, real])
    assert points["review_first"]["threshold"] == pytest.approx(0.49)
    assert points["screening"]["threshold"] == pytest.approx(0.5)
    assert points["screening"]["sensitivity"] == 1.0
    assert "20 " not in points["screening"]["measured_on"]
    assert "40 phantom films and 40 real normal films" in points["screening"]["measured_on"]


@pytest.mark.parametrize(
    ("count", "cases", "low", "high"), [(0, 23, 0.0, 0.1431), (2, 23, 0.0242, 0.2680), (23, 23, 0.8569, 1.0)]
)
def test_intervals_are_wilsons(count, cases, low, high):
    """Wilson 1927, worked by hand: (p + z2/2n +- z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n)."""
    z, p = 1.959964, count / cases
    middle, half = p + z**2 / (2 * cases), z * math.sqrt(p * (1 - p) / cases + z**2 / (4 * cases**2))
    by_hand = tuple((middle + sign * half) / (1 + z**2 / cases) for sign in (-1, 1))
    assert Rate(count=count, cases=cases).interval == pytest.approx(by_hand, abs=1e-5)
    assert Rate(count=count, cases=cases).interval == pytest.approx((low, high), abs=1e-3)
    assert str(rate(np.arange(cases) < count)).startswith(f"{count} of {cases}")


def test_cuts_are_lowered_until_normal_films_are_read_as_normal():
    network = ReadsBrightness().eval()
    calm, alarmed = film_set([[0] * 6] * 4 + [[6] * 6]), film_set([[0] * 6] * 4 + [[6] * 6])
    assert lower_cuts(network, [calm]) == 0.0
    assert network.cuts[0].item() == pytest.approx(2.5)
    alarmed.levels[:6] = 6  # a film that is bright, and clear
    alarmed.tensors[:6] = 0.6
    alarmed.opacity_mm[:6] = 0
    network = Shifted().eval()
    amount = lower_cuts(network, [calm, alarmed])
    assert 1.0 < amount < 2.0
    assert not read_films(network, alarmed).called[0]
    assert network.cuts[0].item() == pytest.approx(2.5 - amount)


class Shifted(ZoneProfusion):
    """Believes a bright zone to be of level 6, with 1.0 on the logit scale, and heeds the cuts."""

    def forward(self, zone):
        bright = (zone[:, 0].mean(dim=(1, 2)) > 0.3).float()[:, None]
        believed = torch.where(torch.arange(11) < 6, 1.0, -9.0) * bright - 9.0 * (1 - bright)
        logits = believed + (self.cuts - torch.linspace(2.5, -2.5, 11))
        return logits, torch.zeros((len(zone), 6)), torch.zeros((len(zone), 1, 18, 18)), torch.zeros((len(zone), 64))
