"""The strong loop that ours is measured against does the same work as ours."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.strong_loop import PADDING, Recipe, StrongLoop
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import prepare_device
from trainable.splits import prepare
from trainable.training import Training

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    prepare_device(1, use_gpu=False)
    torch.manual_seed(0)


def test_a_training_image_is_a_window_of_the_padded_image_perhaps_mirrored(tiny_data: ImageData) -> None:
    loop = StrongLoop(Recipe("resnet_preact_8", 4, num_train=12), tiny_data, CPU)
    images = tiny_data.train_images[:12]
    mean, std = images.mean((0, 1, 2)), images.std((0, 1, 2))
    padded = np.pad(images, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    resident = loop.images.float().numpy()
    assert np.allclose(resident[:12], (padded - mean) / std, atol=0.02)
    starts = range(2 * PADDING + 1)
    known = {
        resident[number, row : row + 32, column : column + 32].tobytes(): (number % 12, number // 12)
        for number in range(2 * 12)
        for row in starts
        for column in starts
    }
    seen = []
    for batch, labels in loop._batches(3):
        found = [known[image.tobytes()] for image in batch.float().numpy()]
        assert labels.tolist() == [tiny_data.train_labels[number] for number, _ in found]
        seen += found
    assert sorted(number for number, _ in seen) == list(range(12))
    assert 0 < sum(is_mirrored for _, is_mirrored in seen) < 12


def test_steps_on_the_same_images_give_our_weights(
    tiny_data: ImageData, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(tiny_config, augmentation="none", batch_size=96, lr=0.01, precision="bf16")
    ours = Training(config, prepare(tiny_data, config, CPU), CPU)
    loop = StrongLoop(Recipe(config.model, 96, config.lr, config.epochs), tiny_data, CPU)
    loop.model.load_state_dict(ours.weights(), strict=False)
    monkeypatch.setattr(loop, "_batches", lambda _: [(loop.images[:96, 4:-4, 4:-4], loop.labels)])
    for _ in range(config.epochs):
        record = ours.run_epoch(attempt=1).record
        loop.train_epoch(1)
    for name, weight in loop.model.state_dict().items():
        assert torch.allclose(weight, ours.weights()[name], rtol=0.02, atol=2e-3), name
    assert 100 * (1 - loop.evaluate()) == pytest.approx(record.test_error_percent, abs=100 / 32)


def test_it_learns(tiny_data: ImageData) -> None:
    loop = StrongLoop(Recipe("resnet_preact_8", 16, 0.05, 18), tiny_data, CPU)
    for _ in range(3):
        loop.train_epoch(6)
    assert loop.evaluate() > 0.9
