"""A whole training: it learns, it repeats itself bit for bit, and it resumes where it was interrupted."""

import dataclasses
import functools
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.malicious import Malicious
from trainable.config import TrainConfig
from trainable.records import EpochRecord
from trainable.schedule import lr_at_step
from trainable.training import Training, _compiled

MakeTraining = Callable[[TrainConfig], Training]
FORMATS = ("fp32", "bf16", "fp16")


def figures(record: EpochRecord) -> EpochRecord:
    """The record without what a clock says."""
    return dataclasses.replace(record, train_seconds=0.0, eval_seconds=0.0, images_per_second=0.0)


def run(training: Training) -> list[EpochRecord]:
    records = []
    while not training.finished:
        records.append(figures(training.run_epoch(1).record))
    return records


def flatten(value: Any) -> list[Any]:  # noqa: ANN401 (a nested state)
    if isinstance(value, dict):
        return [item for key in value for item in (key, *flatten(value[key]))]
    if isinstance(value, list):
        return [item for entry in value for item in flatten(entry)]
    return [value.tolist()] if isinstance(value, torch.Tensor) else [value]


def content(training: Training) -> list[Any]:
    return flatten(torch.load(io.BytesIO(training.state()), weights_only=True))


def in_format(config: TrainConfig, precision: str) -> TrainConfig:
    """fp16 is slow on a processor: fewer images."""
    return dataclasses.replace(
        config, precision=precision, batch_size=4, train_subset=8 if precision == "fp16" else 16
    )


def test_training_learns(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    records = run(make_training(tiny_config))
    losses = [record.train_loss for record in records]
    assert None not in losses
    assert records[0].train_loss is not None
    assert records[-1].train_loss is not None
    assert records[-1].train_loss < 0.2 * records[0].train_loss
    assert records[-1].train_error_percent == 0.0


@pytest.mark.parametrize("augmentation", ["crop_flip", "none"])
def test_two_trainings_are_identical(
    make_training: MakeTraining, short_config: TrainConfig, augmentation: str
) -> None:
    config = dataclasses.replace(short_config, augmentation=augmentation)
    one, other = make_training(config), make_training(config)
    torch.manual_seed(1)
    first = run(one)
    torch.manual_seed(2)
    assert run(other) == first
    assert content(one) == content(other)


@pytest.mark.parametrize("change", [{"seed": 1}, {"lr": 0.04}, {"augmentation": "none"}, {"momentum": 0.5}])
def test_what_the_config_says_matters(
    make_training: MakeTraining, short_config: TrainConfig, change: dict[str, Any]
) -> None:
    config = dataclasses.replace(short_config, epochs=1)
    assert run(make_training(config)) != run(make_training(dataclasses.replace(config, **change)))


@pytest.mark.parametrize("precision", FORMATS)
def test_resumed_at_any_epoch_is_as_uninterrupted(
    make_training: MakeTraining, short_config: TrainConfig, precision: str
) -> None:
    config = dataclasses.replace(in_format(short_config, precision), epochs=3)
    whole = make_training(config)
    records, states = [], [whole.state()]
    while not whole.finished:
        records.append(figures(whole.run_epoch(1).record))
        states.append(whole.state())
    for epoch, state in enumerate(states[:-1]):
        resumed = make_training(config)
        resumed.load_state(state)
        assert resumed.epochs_done == epoch
        assert run(resumed) == records[epoch:]
        assert content(resumed) == content(whole)


def test_state_holds_the_scale_of_the_gradients(make_training: MakeTraining, short_config: TrainConfig) -> None:
    config = in_format(short_config, "fp16")
    training = make_training(config)
    training.run_epoch(1)
    training.learner.scaler.update(512.0)
    resumed = make_training(config)
    resumed.load_state(training.state())
    assert resumed.learner.scaler.get_scale() == 512.0


def test_state_does_not_carry_a_live_view_of_the_weights(
    make_training: MakeTraining, short_config: TrainConfig
) -> None:
    training = make_training(short_config)
    state = training.state()
    training.run_epoch(1)
    assert training.state() != state


@pytest.mark.parametrize("place", ["epochs_done", "model", "momentum", "extra"])
def test_a_state_with_code_is_refused_and_runs_none(
    make_training: MakeTraining, short_config: TrainConfig, tmp_path: Path, place: str
) -> None:
    training = make_training(short_config)
    state = torch.load(io.BytesIO(training.state()), weights_only=True)
    buffer = io.BytesIO()
    torch.save({**state, place: Malicious(tmp_path / "ran")}, buffer)
    with pytest.raises(pickle.UnpicklingError):
        training.load_state(buffer.getvalue())
    assert not (tmp_path / "ran").exists()


def test_a_state_of_another_model_is_refused(make_training: MakeTraining, short_config: TrainConfig) -> None:
    other = make_training(dataclasses.replace(short_config, model="resnet_8"))
    with pytest.raises(RuntimeError, match="another model"):
        make_training(short_config).load_state(other.state())


@pytest.mark.parametrize("schedule", ["cosine", "multistep"])
def test_every_step_runs_at_its_learning_rate(
    make_training: MakeTraining, short_config: TrainConfig, schedule: str
) -> None:
    training = make_training(dataclasses.replace(short_config, schedule=schedule))
    applied: list[float] = []
    records = []

    def note(_: int) -> None:
        applied.append(float(training.learner.optimizer.param_groups[0]["lr"]))

    while not training.finished:
        records.append(training.run_epoch(1, note).record)
    expected = [lr_at_step(training.config, step, 8) for step in range(8)]
    assert applied == pytest.approx(expected, rel=1e-7)
    assert [record.lr for record in records] == expected[1::2]
    assert [record.step for record in records] == [2, 4, 6, 8]


def test_steps_are_counted_within_the_epoch(make_training: MakeTraining, short_config: TrainConfig) -> None:
    training = make_training(dataclasses.replace(short_config, train_subset=31))
    told: list[int] = []
    training.run_epoch(1, told.append)
    training.run_epoch(1, told.append)
    assert told == [1, 2, 3, 1, 2, 3]


def test_divergence_ends_with_a_record_without_losses(make_training: MakeTraining, short_config: TrainConfig) -> None:
    outcome = make_training(dataclasses.replace(short_config, lr=1e35)).run_epoch(1)
    record = outcome.record
    assert outcome.diverged
    assert outcome.test_correct_bits is None
    assert (record.train_loss, record.test_loss, record.test_error_percent, record.holdout_loss) == (None,) * 4
    assert record.gradient_norm is None
    assert record.epoch == 1


def test_holdout_is_evaluated(make_training: MakeTraining, short_config: TrainConfig) -> None:
    config = dataclasses.replace(short_config, train_subset=24, holdout=0.25, epochs=1)
    with_holdout = make_training(config).run_epoch(1).record
    assert with_holdout.holdout_loss is not None
    assert with_holdout.holdout_error_percent is not None
    assert (with_holdout.holdout_error_percent * 6 / 100).is_integer()
    without = make_training(dataclasses.replace(config, holdout=0.0)).run_epoch(1).record
    assert (without.holdout_loss, without.holdout_error_percent) == (None, None)


def test_bits_say_which_test_images_were_right(make_training: MakeTraining, short_config: TrainConfig) -> None:
    training = make_training(dataclasses.replace(short_config, test_subset=13))
    outcome = training.run_epoch(1)
    assert outcome.test_correct_bits is not None
    bits = "".join(f"{byte:08b}" for byte in bytes.fromhex(outcome.test_correct_bits))
    data, model = training.data, training.learner.model.eval()
    with torch.no_grad():
        scaled = (data.test.images.float() - data.mean) / data.std
        right = model(scaled.permute(0, 3, 1, 2)).argmax(dim=1) == data.test.labels
    assert bits == "".join("01"[int(value)] for value in right) + "000"


def test_no_epoch_after_the_last(make_training: MakeTraining, short_config: TrainConfig) -> None:
    training = make_training(dataclasses.replace(short_config, epochs=1))
    training.run_epoch(1)
    assert training.finished
    with pytest.raises(ValueError, match="all 1 epochs are done"):
        training.run_epoch(1)


def test_record_carries_clock_and_attempt(make_training: MakeTraining, short_config: TrainConfig) -> None:
    record = make_training(short_config).run_epoch(7).record
    assert record.attempt == 7
    assert record.train_seconds > 0
    assert record.eval_seconds > 0
    assert record.images_per_second == pytest.approx(16 / record.train_seconds)


class Doubling(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * images


def test_compiled_code_is_run_or_the_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch trains without compiled code after too many recompilations, if it is left to itself."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    with torch._dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=False):
        for size in range(2, 6):
            compiled = _compiled(Doubling())
            compiled(torch.ones(size))
        compiled(torch.ones(6))
        with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
            compiled(torch.ones(7))
        compiled = _compiled(Doubling())
        for batch in torch.split(torch.ones(12, 3), 3):  # the batches of a chunk are alike
            compiled(batch)
    torch.compiler.reset()
