# SPDX-License-Identifier: Apache-2.0
"""The fit loop: one seed is one result, a killed run goes on to the same bits, and a loss that is not finite stops."""

import pickle
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models.training.balance import class_weights, sample_weights
from models.training.checkpoint import CheckpointError
from models.training.fit import FitError, Places, fit
from models.training.fit_settings import FitSettings
from models.training.random_source import RandomSource

COUNT = 22
SETTINGS = FitSettings(epochs=4, batch=5, peak_rate=0.02, channels_last=True)
COARSE = SETTINGS.model_copy(update={"precision": "bfloat16"})


class KilledError(Exception):
    """Ends a run in the middle of an epoch, as a kill would."""


def network() -> nn.Module:
    """Convolution, batch norm and dropout: weights, buffers and random numbers of all kinds that must be resumed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 3)]
        return nn.Sequential(*layers)


class Task:
    """Patches of three classes; counts batches, and can fail at one."""

    def __init__(self, model: nn.Module, *, killed_at: int = -1, nan_at: int = -1) -> None:
        draw = torch.Generator().manual_seed(9)
        self.model, self.killed_at, self.nan_at, self.batches = model, killed_at, nan_at, []
        self.classes = torch.arange(COUNT) % 3
        self.images = torch.randn((COUNT, 1, 6, 6), generator=draw) + self.classes[:, None, None, None]

    def __call__(self, index: Tensor, random: RandomSource) -> Tensor:
        self.batches.append(index)
        if len(self.batches) - 1 == self.killed_at:
            raise KilledError
        noise = torch.randn((len(index), 1, 6, 6), generator=random.torch) + float(random.numpy.normal())
        loss = nn.functional.cross_entropy(self.model(self.images[index] + 0.1 * noise), self.classes[index])
        return loss * float("nan") if len(self.batches) - 1 == self.nan_at else loss


def run(places: Places | None = None, *, settings: FitSettings = SETTINGS, seed: int = 3, **fails: int):
    model = network()
    task = Task(model, **fails)
    quiet = places or Places(progress=False)
    losses = fit(model, task, name="test", count=COUNT, settings=settings, seed=seed, places=quiet)
    return {**model.state_dict(), "losses": torch.tensor(losses, dtype=torch.float64)}, task


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_one_seed_is_one_result_and_another_seed_another() -> None:
    first, _ = run()
    torch.randn(7)  # what happened before must not matter
    assert same(first, run()[0])
    assert not same(first, run(seed=4)[0])


def test_less_precision_is_another_result_with_weights_as_precise_as_ever() -> None:
    exact, coarse, again = (run(settings=s)[0] for s in (SETTINGS, COARSE, COARSE))
    assert same(coarse, again)
    assert not same(exact, coarse)
    assert all(coarse[name].dtype == value.dtype for name, value in exact.items())
    for name, value in exact.items():
        assert torch.allclose(coarse[name].float(), value.float(), atol=0.15), name


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"'float32' or 'bfloat16'.*input_value='float16'"):
        FitSettings.model_validate({**SETTINGS.model_dump(), "precision": "float16"})


@pytest.mark.parametrize("batch", [0, 2, 4, 7, 15])
def test_a_run_killed_at_any_batch_goes_on_to_the_same_bits(tmp_path: Path, batch: int) -> None:
    places = Places(checkpoints=tmp_path, progress=False)
    with pytest.raises(KilledError):
        run(places, killed_at=batch)
    torch.manual_seed(77)
    resumed, task = run(Places(checkpoints=tmp_path, resume=True, progress=False))
    assert same(resumed, run()[0])
    assert len(task.batches) == 16 - batch // 4 * 4  # whole epochs are not trained again


def test_a_finished_run_is_resumed_without_a_batch(tmp_path: Path) -> None:
    finished, _ = run(Places(checkpoints=tmp_path, progress=False))
    resumed, task = run(Places(checkpoints=tmp_path, resume=True, progress=False))
    assert same(finished, resumed)
    assert task.batches == []


def test_without_resume_a_checkpoint_is_not_used(tmp_path: Path) -> None:
    run(Places(checkpoints=tmp_path, progress=False))
    assert len(run(Places(checkpoints=tmp_path, progress=False))[1].batches) == 16


def test_the_loss_falls_and_every_sample_comes_at_most_once_in_an_epoch() -> None:
    result, task = run(settings=SETTINGS.model_copy(update={"epochs": 30}))
    assert result["losses"][-1] < 0.5 * result["losses"][0]
    for epoch in range(30):
        seen = torch.cat(task.batches[4 * epoch : 4 * epoch + 4])
        assert len(seen) == len(seen.unique()) == 20


def test_fewer_samples_than_a_batch_are_one_batch() -> None:
    _, task = run(settings=SETTINGS.model_copy(update={"batch": 100}))
    assert [len(batch) for batch in task.batches] == [COUNT] * 4


def test_a_loss_that_is_not_finite_names_epoch_and_step_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FitError, match=r"test: the loss is nan in epoch 3, step 2 of 4.*lower peak_rate \(now 0\.02\)"):
        run(Places(checkpoints=tmp_path, progress=False), nan_at=9)
    resumed, task = run(Places(checkpoints=tmp_path, resume=True, progress=False))
    assert len(task.batches) == 8
    assert same(resumed, run()[0])


def test_the_network_is_left_in_evaluation_mode_and_torch_as_it_was() -> None:
    torch.manual_seed(11)
    expected = torch.randn(3)
    torch.manual_seed(11)
    before = torch.are_deterministic_algorithms_enabled()
    model = network()
    fit(model, Task(model), name="test", count=COUNT, settings=SETTINGS, seed=1, places=Places(progress=False))
    assert not model.training
    assert torch.equal(torch.randn(3), expected)
    assert torch.are_deterministic_algorithms_enabled() == before


def test_measuring_does_not_change_the_result() -> None:
    model, seen = network(), []

    def measure() -> dict[str, float]:
        seen.append(model.training)
        return {"noise": float(torch.randn(()))}

    quiet = Places(progress=False)
    fit(model, Task(model), name="test", count=COUNT, settings=SETTINGS, seed=3, measure=measure, places=quiet)
    assert seen == [False] * 4
    assert same(model.state_dict(), {name: value for name, value in run()[0].items() if name != "losses"})


def test_tensorboard_gets_the_scalars_of_every_epoch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = network()
    places = Places(tensorboard=tmp_path, progress=False)
    losses = fit(
        model,
        Task(model),
        name="stage",
        count=COUNT,
        settings=SETTINGS,
        seed=3,
        measure=lambda: {"auc": 0.5},
        places=places,
    )
    found = EventAccumulator(str(tmp_path / "stage")).Reload()
    assert set(found.Tags()["scalars"]) == {"loss", "rate", "auc"}
    assert [event.step for event in found.Scalars("loss")] == [1, 2, 3, 4]
    assert [event.value for event in found.Scalars("loss")] == pytest.approx(losses)


def test_the_progress_bar_counts_every_batch(capsys: pytest.CaptureFixture[str]) -> None:
    run(Places())
    shown = capsys.readouterr().err
    assert "test: 100%" in shown
    assert "16/16" in shown
    assert "epoch 4, loss" in shown


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"settings": SETTINGS.model_copy(update={"peak_rate": 0.01})},
        {"places": {"identity": "another recipe"}},
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, change: dict) -> None:
    run(Places(checkpoints=tmp_path, progress=False))
    places = Places(checkpoints=tmp_path, resume=True, progress=False, **change.pop("places", {}))
    with pytest.raises(CheckpointError, match="is of another run"):
        run(places, **change)


def test_a_checkpoint_of_another_first_network_is_refused(tmp_path: Path) -> None:
    run(Places(checkpoints=tmp_path, progress=False))
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1
    places = Places(checkpoints=tmp_path, resume=True, progress=False)
    with pytest.raises(CheckpointError, match="is of another run"):
        fit(model, Task(model), name="test", count=COUNT, settings=SETTINGS, seed=3, places=places)


class Hostile:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["pickle", "torch", "half", "empty", "format", "flipped"])
def test_a_checkpoint_that_is_none_is_refused_and_runs_no_code(tmp_path: Path, kind: str) -> None:
    run(Places(checkpoints=tmp_path, progress=False))
    (path,) = tmp_path.iterdir()
    whole, trap = path.read_bytes(), tmp_path / "trap"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Hostile(trap)))
    elif kind == "torch":
        torch.save({"network": Hostile(trap)}, path)
    elif kind == "format":
        torch.save({"format": 2}, path)
    elif kind == "flipped":
        at = whole.index(next(iter(torch.load(path)["network"].values())).numpy().tobytes()) + 9
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])
    else:
        path.write_bytes(whole[: len(whole) // 2] if kind == "half" else b"")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        run(Places(checkpoints=tmp_path, resume=True, progress=False))
    assert not trap.exists()


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(checkpoints=tmp_path, progress=False)
    with pytest.raises(KilledError):
        run(places, killed_at=9)
    save = torch.save

    def half(checkpoint: dict, file) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        run(Places(checkpoints=tmp_path, resume=True, progress=False))
    monkeypatch.setattr(torch, "save", save)
    assert [path.name for path in tmp_path.iterdir()] == ["test.checkpoint.pt"]
    assert same(run(Places(checkpoints=tmp_path, resume=True, progress=False))[0], run()[0])


def test_class_weights_are_the_square_root_of_rarity() -> None:
    classes = torch.tensor([0] * 8 + [1] * 2 + [3] * 2)
    torch.testing.assert_close(class_weights(classes, count=4), torch.tensor([3 / 8, 3 / 2, 3.0, 3 / 2]).sqrt())


def test_batches_drawn_by_sample_weights_hold_all_classes_equally() -> None:
    classes = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    model, drawn = nn.Linear(1, 1), []

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        drawn.append(index)
        return model(torch.ones(1, 1)).sum()

    settings = FitSettings(epochs=6, batch=100, peak_rate=0.01)
    weights, quiet = sample_weights(classes), Places(progress=False)
    fit(model, loss_of, name="test", count=1000, settings=settings, seed=1, weights=weights, places=quiet)
    shares = torch.bincount(classes[torch.cat(drawn)]) / 6000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.03, rtol=0)


def test_the_schedule_and_optimiser_are_torch_s_own() -> None:
    """Two epochs by hand, with torch's AdamW and OneCycleLR, give the same weights."""
    settings = FitSettings(epochs=2, batch=11, peak_rate=0.05, weight_decay=0.2, warm_up=0.5)
    model, twin = nn.Linear(2, 1), nn.Linear(2, 1)
    twin.load_state_dict(model.state_dict())
    inputs = torch.arange(44.0).view(COUNT, 2) / 44
    order = []

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        order.append(index)
        return model(inputs[index]).square().mean()

    fit(model, loss_of, name="test", count=COUNT, settings=settings, seed=1, places=Places(progress=False))
    optimiser = torch.optim.AdamW(twin.parameters(), lr=0.05, weight_decay=0.2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.05, total_steps=4, pct_start=0.5)
    for index in order:
        optimiser.zero_grad()
        twin(inputs[index]).square().mean().backward()
        optimiser.step()
        schedule.step()
    assert len(order) == 4
    assert same(model.state_dict(), twin.state_dict())


@pytest.mark.parametrize(("warm_up", "steps"), [(0.5, 2), (0.2, 5), (0.25, 4), (0.3, 1), (0.3, 10)])
def test_a_warm_up_of_one_step_does_not_divide_by_zero(warm_up: float, steps: int) -> None:
    settings = FitSettings(epochs=steps, batch=COUNT, peak_rate=0.01, warm_up=warm_up)
    assert len(run(settings=settings)[1].batches) == steps
