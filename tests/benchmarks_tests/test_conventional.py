"""The tutorial's loop that ours is measured against does the same work as ours."""

import dataclasses
import io

import numpy as np
import pytest
import torch

from benchmarks import conventional
from benchmarks.conventional import Conventional, test_loader, train_loader
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import prepare_device
from trainable.randomness import PADDING
from trainable.schedule import lr_at_step
from trainable.splits import TrialData, prepare
from trainable.training import Training

CPU = torch.device("cpu")
test_loader.__test__ = False  # type: ignore[attr-defined] # a loader of test images, not a test


@pytest.fixture(autouse=True)
def one_thread() -> None:
    prepare_device(1, use_gpu=False)


@pytest.fixture
def our_statistics(tiny_data: ImageData, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> TrialData:
    """Normalise as ours does, by the statistics of the training images instead of CIFAR-10's."""
    data = prepare(tiny_data, tiny_config, CPU)
    monkeypatch.setattr(conventional, "MEAN", (data.mean / 255).tolist())
    monkeypatch.setattr(conventional, "STD", (data.std / 255).tolist())
    return data


def weights(training: Training) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = torch.load(io.BytesIO(training.state()), weights_only=True)["model"]
    return {name: value.clone() for name, value in model.items()}


def test_the_same_steps_of_the_same_shape(tiny_data: ImageData, tiny_config: TrainConfig) -> None:
    config = dataclasses.replace(tiny_config, batch_size=36)
    loader = train_loader(tiny_data.train_images, tiny_data.train_labels, config.batch_size)
    ours = Training(config, prepare(tiny_data, config, CPU), CPU)
    assert len(loader) == ours.steps_per_epoch == 2
    for images, labels in loader:
        assert (images.shape, images.dtype) == ((36, 3, 32, 32), torch.float32)
        assert (labels.shape, labels.dtype) == ((36,), torch.int64)


def test_a_training_image_is_a_window_of_the_padded_image_perhaps_mirrored(
    tiny_data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conventional, "MEAN", (0.0, 0.0, 0.0))
    monkeypatch.setattr(conventional, "STD", (1.0, 1.0, 1.0))
    image = tiny_data.train_images[0]
    padded = np.pad(image, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    starts = range(2 * PADDING + 1)
    windows = [padded[row : row + 32, column : column + 32] for row in starts for column in starts]
    known = {window.tobytes(): False for window in windows} | {window[:, ::-1].tobytes(): True for window in windows}
    loader = train_loader(np.repeat(image[None], 200, axis=0), np.zeros(200, np.int64), 200)
    ((images, _),) = loader
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    seen = [known[window.tobytes()] for window in pixels]
    assert 60 < sum(seen) < 140


def test_the_learning_rate_of_every_step_is_ours(tiny_config: TrainConfig) -> None:
    learner = Conventional.build(tiny_config.model, 3, tiny_config.lr, num_steps=12)
    rates = []
    for _ in range(12):
        rates.append(learner.optimizer.param_groups[0]["lr"])
        learner.optimizer.step()
        learner.scheduler.step()
    assert rates == pytest.approx([lr_at_step(tiny_config, step, 12) for step in range(12)])


def test_a_step_on_the_same_images_gives_our_weights(
    tiny_data: ImageData, tiny_config: TrainConfig, our_statistics: TrialData
) -> None:
    num_images = len(tiny_data.train_labels)
    config = dataclasses.replace(tiny_config, augmentation="none", batch_size=num_images, lr=0.01)
    ours = Training(config, our_statistics, CPU)
    learner = Conventional.build(config.model, 3, config.lr, num_steps=config.epochs)
    learner.model.load_state_dict(weights(ours))
    batches = test_loader(tiny_data.train_images, tiny_data.train_labels, num_images)
    for _ in range(config.epochs):
        record = ours.run_epoch(attempt=1).record
        loss, accuracy = learner.train_epoch(batches)
        assert loss == pytest.approx(record.train_loss, rel=1e-3)
        assert 100 * (1 - accuracy) == pytest.approx(record.train_error_percent)
    theirs = learner.model.state_dict()
    assert {name: value for name, value in weights(ours).items() if not close(value, theirs[name])} == {}
    loss, accuracy = learner.evaluate(test_loader(tiny_data.test_images, tiny_data.test_labels))
    assert loss == pytest.approx(record.test_loss, rel=1e-2)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours.float(), theirs.float(), rtol=1e-2, atol=1e-3)


def test_it_learns(tiny_data: ImageData) -> None:
    torch.manual_seed(0)
    train = train_loader(tiny_data.train_images, tiny_data.train_labels, 16)
    learner = Conventional.build("resnet_preact_8", 3, 0.05, num_steps=3 * len(train))
    losses = [learner.train_epoch(train)[0] for _ in range(3)]
    assert losses[2] < losses[0] / 2
    _, accuracy = learner.evaluate(test_loader(tiny_data.test_images, tiny_data.test_labels))
    assert accuracy > 0.9
