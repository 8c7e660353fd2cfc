"""The fused kernel: it computes what torch computes, more exactly, and where it cannot be used, torch does."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import fused
from models.registry import build_model
from tests.trainable_tests.golden_trainings import FILE, TRAININGS
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.data.digits import load_digits
from trainable.device import prepare_device
from trainable.execution import Execution
from trainable.splits import prepare
from trainable.training import Training

CPU = torch.device("cpu")
FUSED = Execution(fused=True)
BAND = 1.1
"""The gradient of a bf16 step is at most so many times as far from that of fp32 as without the kernel."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Several would wait for each other on a busy machine."""
    prepare_device(1, use_gpu=False)


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest) -> Path:
    """A folder with the compiled kernel, which is kept from one session to the next."""
    assert request.config.cache is not None
    path = request.config.cache.mkdir("kernels")
    lines: list[str] = []
    if not fused.build(path, lines.append):
        pytest.skip(f"no fused kernel on this machine: {lines or 'no C++ compiler'}")
    return path


@pytest.fixture
def switched_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainable.training.kernel_folder", lambda: folder)


def gradients_of_layer(dtype: torch.dtype, *, is_fused: bool, residual: bool) -> list[Tensor]:
    """Output, gradients and running statistics of one layer with 16 channels and 1,536 rows."""
    random = torch.Generator().manual_seed(1)
    x, added, dy = (
        torch.randn(6, 16, 16, 16, generator=random).to(dtype, memory_format=torch.channels_last) for _ in range(3)
    )
    norm = nn.BatchNorm2d(16, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    norm.fused = is_fused  # type: ignore[assignment]
    inputs = [x.requires_grad_(), norm.weight, norm.bias, *([added.requires_grad_()] if residual else [])]
    y = fused.norm_relu(norm, x, added if residual else None)
    statistics = [norm.running_mean, norm.running_var]
    return [y, *torch.autograd.grad(y, inputs, dy), *(value for value in statistics if value is not None)]


@pytest.mark.parametrize("residual", [False, True])
def test_one_layer_is_as_exact_in_fp32_as_torch(folder: Path, residual: bool) -> None:
    exact = gradients_of_layer(torch.float64, is_fused=False, residual=residual)
    for ours, truth in zip(gradients_of_layer(torch.float32, is_fused=True, residual=residual), exact, strict=True):
        assert (ours - truth).norm() <= 1e-6 * truth.norm()


@pytest.mark.parametrize("dtype", fused.DTYPES)
def test_the_number_of_threads_changes_no_bit(folder: Path, dtype: torch.dtype) -> None:
    results = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(gradients_of_layer(dtype, is_fused=True, residual=True))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def training(config: TrainConfig, data: ImageData, execution: Execution) -> Training:
    bound = config.for_dataset(data.name, data.fingerprint, len(data.train_labels), len(data.test_labels))
    return Training(bound, prepare(data, bound, CPU), CPU, execution)


@pytest.mark.parametrize("name", list(TRAININGS)[:2])
def test_a_training_stays_near_its_golden_losses(switched_on: None, name: str) -> None:
    """A relative change of 1e-6 of the learning rate moves these losses by up to 2 % and gradients by up to 10 %."""
    ours = training(TRAININGS[name], load_digits(), FUSED)
    assert str(ours.execution) == "fused eager"
    for golden in json.loads(FILE.read_text())["losses"][name][:-1]:
        assert ours.run_epoch(1).record.train_loss == pytest.approx(float.fromhex(golden[0]), rel=0.05)


@pytest.mark.parametrize("model", ["resnet_8", "resnet_preact_8"])
def test_gradients_in_fp32_are_nearer_to_fp64_than_those_of_torch(folder: Path, model: str) -> None:
    random = torch.Generator().manual_seed(0)
    base = build_model(model, 10, random).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, labels = torch.randn(48, 3, 32, 32, generator=random), torch.arange(48) % 10

    def gradient(dtype: torch.dtype, *, is_fused: bool) -> Tensor:
        network = copy.deepcopy(base).to(dtype)
        assert not is_fused or fused.switch_on(network, folder)
        logits = network(images.to(dtype, memory_format=torch.channels_last))
        parts = torch.autograd.grad(functional.cross_entropy(logits, labels), list(network.parameters()))
        return torch.cat([part.double().flatten() for part in parts])

    exact = gradient(torch.float64, is_fused=False)
    ours, theirs = (gradient(torch.float32, is_fused=is_fused) for is_fused in (True, False))
    assert (ours - exact).norm() <= (theirs - exact).norm() <= 0.01 * exact.norm()


@pytest.mark.parametrize("model", ["resnet_8", "resnet_preact_8"])
def test_gradients_in_bf16_stay_in_the_band_of_fp32(
    switched_on: None, tiny_config: TrainConfig, tiny_data: ImageData, model: str
) -> None:
    errors = {}
    for execution in (FUSED, Execution()):
        errors[execution] = 0.0
        for seed in range(5):
            config = dataclasses.replace(tiny_config, model=model, seed=seed, epochs=1, batch_size=96, lr=1e-6)
            exact, rounded = (
                training(dataclasses.replace(config, precision=precision), tiny_data, how)
                for precision, how in (("fp32", Execution()), ("bf16", execution))
            )
            for each in (exact, rounded):
                each.run_epoch(1)
            truth = exact.learner.weights.gradient
            errors[execution] += float((rounded.learner.weights.gradient - truth).norm() / truth.norm()) / 5
    assert errors[FUSED] <= BAND * errors[Execution()]


@pytest.mark.parametrize("changes", [{"ghost_batch_size": 8}, {"precision": "fp16"}])
def test_what_the_kernel_cannot_do_is_trained_without_it(
    switched_on: None, tiny_config: TrainConfig, tiny_data: ImageData, changes: dict[str, object]
) -> None:
    config = TrainConfig.from_dict(tiny_config.to_dict() | changes)
    assert str(training(config, tiny_data, FUSED).execution) == "eager"


def test_on_a_gpu_there_is_no_such_kernel() -> None:
    assert FUSED.on("cuda") == Execution()


def test_a_process_without_the_library_trains_without_it(
    monkeypatch: pytest.MonkeyPatch, tiny_config: TrainConfig, tiny_data: ImageData
) -> None:
    monkeypatch.setattr(fused, "_load", lambda folder: False)
    assert str(training(tiny_config, tiny_data, FUSED).execution) == "eager"


def compiler_in(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a compiler that does this, and count its calls."""
    monkeypatch.setattr(fused, "_load", lambda _: False)
    path = folder / "compiler"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho called >> {folder}/calls\n{text}\n')
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return folder / "calls"


@pytest.mark.parametrize("text", ["echo no headers; exit 1", "exit 0", "kill -9 $$"])
def test_a_failed_build_is_told_once_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    calls = compiler_in(tmp_path, text, monkeypatch)
    lines: list[str] = []
    for _ in range(2):
        assert not fused.build(tmp_path / "kernels", lines.append)
    assert len(lines) == 2 and "once for this machine" in lines[0] and "torch's own operations" in lines[1]
    assert calls.read_text() == "called\n"


def test_without_a_compiler_or_a_folder_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler_in(tmp_path, "exit 1", monkeypatch)
    (tmp_path / "file").touch()
    lines: list[str] = []
    assert not fused.build(tmp_path / "file" / "kernels", lines.append)
    assert len(lines) == 1
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    assert not fused.build(tmp_path / "kernels", lines.append)
    assert len(lines) == 1
