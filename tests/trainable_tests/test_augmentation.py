"""Crops, flips, normalisation and batches, against slow references in NumPy."""

import numpy as np
import pytest
import torch

from trainable.augmentation import crop_and_flip, normalize, training_batches
from trainable.randomness import EpochPlan, plan_epoch
from trainable.splits import CHUNK, Split


def random_images(count: int, height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (count, height, width, 3)).astype(np.uint8)


def slow_crop_and_flip(images: np.ndarray, offsets: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """An image at a time: zero-pad by 4, cut, mirror."""
    height, width = images.shape[1:3]
    results = []
    for image, (top, left), flip in zip(images, offsets, flips, strict=True):
        padded = np.zeros((height + 8, width + 8, 3), dtype=np.uint8)
        padded[4 : 4 + height, 4 : 4 + width] = image
        window = padded[top : top + height, left : left + width]
        results.append(window[:, ::-1] if flip else window)
    return np.stack(results)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 20), (5, 9)])
@pytest.mark.parametrize("seed", [0, 1])
def test_crop_and_flip_is_as_the_slow_reference(height: int, width: int, seed: int) -> None:
    images = random_images(60, height, width, seed)
    plan = plan_epoch(60, "crop_flip", seed, 0)
    got = crop_and_flip(torch.from_numpy(images), plan.offsets, plan.flips)
    assert got.dtype == torch.uint8
    np.testing.assert_array_equal(got.numpy(), slow_crop_and_flip(images, plan.offsets.numpy(), plan.flips.numpy()))


@pytest.mark.parametrize("flip", [False, True])
def test_crop_and_flip_at_every_offset(flip: bool) -> None:
    offsets = np.stack(np.meshgrid(np.arange(9), np.arange(9)), axis=-1).reshape(-1, 2)
    images = random_images(81, 8, 8)
    flips = np.full(81, flip)
    got = crop_and_flip(torch.from_numpy(images), torch.from_numpy(offsets), torch.from_numpy(flips))
    np.testing.assert_array_equal(got.numpy(), slow_crop_and_flip(images, offsets, flips))


def test_crop_and_flip_leaves_its_input_alone() -> None:
    images = torch.from_numpy(random_images(10))
    before = images.clone()
    plan = plan_epoch(10, "crop_flip", 0, 0)
    crop_and_flip(images, plan.offsets, plan.flips)
    assert torch.equal(images, before)


def test_normalize_values_shape_and_memory_format() -> None:
    images = random_images(4, 6, 5)
    mean, std = np.array([10.0, 20.0, 30.0], dtype=np.float32), np.array([2.0, 3.0, 4.0], dtype=np.float32)
    got = normalize(torch.from_numpy(images), torch.from_numpy(mean), torch.from_numpy(std))
    expected = ((images.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)
    assert got.shape == (4, 3, 6, 5)
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def batches_of(
    images: np.ndarray, plan: EpochPlan, batch_size: int, augmented: bool
) -> list[tuple[np.ndarray, list[int]]]:
    labels = torch.arange(len(images))
    return [
        (batch.numpy(), numbers.tolist())
        for batch, numbers in training_batches(
            Split(torch.from_numpy(images), labels), plan, batch_size, augmented=augmented
        )
    ]


@pytest.mark.parametrize(("count", "batch_size", "expected"), [(10, 3, 3), (12, 3, 4), (5, 5, 1), (9, 5, 1)])
def test_incomplete_last_batch_is_dropped(count: int, batch_size: int, expected: int) -> None:
    plan = plan_epoch(count, "none", 0, 0)
    batches = batches_of(random_images(count, 4, 4), plan, batch_size, augmented=False)
    assert [len(labels) for _, labels in batches] == [batch_size] * expected
    assert all(len(images) == batch_size for images, _ in batches)
    assert [label for _, labels in batches for label in labels] == plan.order[: expected * batch_size].tolist()


@pytest.mark.parametrize("batch_size", [7, 4096, 5000])
def test_batches_follow_the_plan_across_chunks(batch_size: int) -> None:
    count = CHUNK + 3000
    images = random_images(count, 2, 2)
    plan = plan_epoch(count, "crop_flip", 0, 0)
    used = count // batch_size * batch_size
    batches = batches_of(images, plan, batch_size, augmented=True)
    picked = plan.order[:used].numpy()
    expected = slow_crop_and_flip(images[picked], plan.offsets[:used].numpy(), plan.flips[:used].numpy())
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in batches]), expected)
    assert [label for _, labels in batches for label in labels] == picked.tolist()


def test_batches_without_augmentation_hold_the_images_as_they_are() -> None:
    images = random_images(20)
    plan = plan_epoch(20, "crop_flip", 0, 0)
    for batch, labels in batches_of(images, plan, 5, augmented=False):
        np.testing.assert_array_equal(batch, images[labels])
