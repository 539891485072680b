# SPDX-License-Identifier: Apache-2.0
"""The patch GAN trains, goes on where it was stopped, and is compared with what it imitates."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import torch
from monai.metrics.fid import compute_frechet_distance

from models.generative.patch_gan import PatchCritic, PatchGenerator, gradient_penalty
from models.generative.two_sample import compare, frechet, told_apart
from models.generative.wgan import GanPlan, PatchGan, fit_gan

TINY = GanPlan(steps=4, critic_steps=2, batch=4, keep_every=2)


@pytest.fixture(scope="module")
def patches():
    random = torch.Generator().manual_seed(1)
    labels = torch.arange(12) % 2
    return torch.rand((12, 1, 64, 64), generator=random) * 0.3 + 0.3 * labels.view(-1, 1, 1, 1), labels


def weights(gan):
    return torch.cat([value.flatten() for value in gan.generator.state_dict().values()])


def test_shapes_and_range():
    drawn = PatchGenerator()(torch.randn(3, 64), torch.tensor([0, 1, 1]))
    assert drawn.shape == (3, 1, 64, 64)
    assert bool(((drawn >= 0) & (drawn <= 1)).all())
    assert PatchCritic()(drawn, torch.tensor([0, 1, 1])).shape == (3,)


def test_the_label_decides_what_is_drawn_and_how_it_is_judged():
    generator, critic, noise = PatchGenerator(), PatchCritic(), torch.randn(2, 64)
    zero, one = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    assert not torch.equal(generator(noise, zero), generator(noise, one))
    drawn = generator(noise, zero)
    assert not torch.equal(critic(drawn, zero), critic(drawn, one))


def test_the_penalty_is_that_of_a_critic_with_a_known_gradient():
    class Slope(torch.nn.Module):
        def forward(self, patches, _labels):
            return 3 / 64 * patches.sum(dim=(1, 2, 3))  # |gradient| = 3 over 64 x 64 pixels

    real, drawn = torch.rand(2, 1, 64, 64), torch.rand(2, 1, 64, 64)
    found = gradient_penalty(Slope(), real, drawn, torch.zeros(2), share=torch.rand(2, 1, 1, 1))
    assert float(found) == pytest.approx(4.0, rel=1e-5)


def test_one_seed_is_one_gan(patches):
    one, two, other = (fit_gan(*patches, GanPlan(**{**vars_of(TINY), "seed": seed})) for seed in (0, 0, 1))
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


def vars_of(plan):
    return {name: getattr(plan, name) for name in plan.__slots__}


def test_a_stopped_training_goes_on_as_if_it_had_not_been(patches, tmp_path):
    whole = fit_gan(*patches, TINY)
    fit_gan(*patches, GanPlan(**{**vars_of(TINY), "steps": 2}), checkpoint=tmp_path / "gan.pt")
    steps = []
    later = fit_gan(*patches, TINY, checkpoint=tmp_path / "gan.pt", note=lambda step, _distance: steps.append(step))
    assert steps == [3, 4]
    assert torch.equal(weights(whole), weights(later))
    labels = torch.tensor([0, 1])
    assert torch.equal(whole.draw(labels, seed=3), later.draw(labels, seed=3))


def test_drawing_does_not_disturb_the_training(patches):
    plain, drawn_from = (fit_gan(*patches, GanPlan(**{**vars_of(TINY), "steps": 2})) for _ in range(2))
    drawn_from.draw(torch.tensor([0, 1, 1]), seed=5)
    for gan in (plain, drawn_from):
        gan.advance(*patches)
    assert torch.equal(weights(plain), weights(drawn_from))


def test_a_kept_gan_of_another_plan_is_refused(patches, tmp_path):
    fit_gan(*patches, TINY, checkpoint=tmp_path / "gan.pt")
    with pytest.raises(ValueError, match="remove it or use the same plan"):
        fit_gan(*patches, GanPlan(**{**vars_of(TINY), "penalty": 1.0}), checkpoint=tmp_path / "gan.pt")


def test_patches_that_do_not_fit_are_refused(patches):
    with pytest.raises(ValueError, match=r"patches are \(12, 1, 32, 32\)"):
        fit_gan(patches[0][..., :32, :32], patches[1], TINY)
    with pytest.raises(ValueError, match="bring them to"):
        fit_gan(patches[0] * 255, patches[1], TINY)


def test_the_critic_learns_to_prefer_real_patches(patches):
    gan = PatchGan(GanPlan(critic_steps=1, batch=8, penalty=0.0, learning_rate=1e-3))
    distances = [gan.advance(*patches)[0] for _ in range(8)]
    assert distances[-1] > distances[0] + 0.01


def test_the_generator_learns_to_please_the_critic(patches):
    class Brightness(torch.nn.Module):
        def forward(self, drawn, _labels):
            return drawn.mean(dim=(1, 2, 3))

    gan = PatchGan(GanPlan(critic_steps=0, batch=8, learning_rate=1e-2))
    gan.critic = Brightness()
    before = float(gan.draw(patches[1], seed=1).mean())
    for _ in range(12):
        gan.advance(*patches)
    assert float(gan.draw(patches[1], seed=1).mean()) > before + 0.05


@pytest.mark.filterwarnings("ignore:The `disp` argument")
def test_the_frechet_distance_is_that_of_monai_and_of_the_formula():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(400, 3)), rng.normal(size=(400, 3)) * [1, 2, 1] + [1, 0, 0]
    means = [torch.tensor(part.mean(axis=0)) for part in (first, second)]
    covariances = [torch.tensor(np.cov(part, rowvar=False)) for part in (first, second)]
    expected = float(compute_frechet_distance(means[0], covariances[0], means[1], covariances[1]))
    assert frechet(first, second) == pytest.approx(expected, rel=1e-6)
    exact = np.square(first.mean(0) - second.mean(0)).sum()
    diagonal = [np.sqrt(np.diag(np.cov(part, rowvar=False))) for part in (first, second)]
    assert frechet(first, second) == pytest.approx(exact + np.square(diagonal[0] - diagonal[1]).sum(), abs=0.05)


def test_different_samples_are_told_apart_and_equal_ones_not():
    rng = np.random.default_rng(2)
    real, same, other = rng.normal(size=(300, 4)), rng.normal(size=(300, 4)), rng.normal(size=(300, 4)) + 2
    assert told_apart(real, other) > 0.95
    assert 0.35 < told_apart(real, same) < 0.65
    good, bad = compare(real, same), compare(real, other)
    assert bad.auc > 0.95
    assert good.auc < 0.7
    assert bad.frechet > 10 * good.frechet
    assert bad.frechet_real == good.frechet_real
