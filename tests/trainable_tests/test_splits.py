"""Subsets, the held-out part and the statistics of what is trained on."""

import dataclasses

import numpy as np
import pytest
import torch

from trainable.config import RECIPE_VERSION, SHARED_HOLDOUT, TrainConfig
from trainable.data.contract import ImageData, make_image_data
from trainable.splits import Split, holdout_positions, prepare

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def numbered() -> ImageData:
    """200 training images whose first pixel tells which one it is, in 4 classes of 80, 60, 40 and 20."""
    images = np.random.RandomState(0).randint(0, 256, (200, 4, 4, 3)).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(200)
    labels = np.random.RandomState(1).permutation(np.repeat(np.arange(4), [80, 60, 40, 20])).astype(np.int64)
    return make_image_data("numbered", 4, (images, labels), (images[:50].copy(), labels[:50].copy()))


def numbers(split: Split | None) -> list[int]:
    assert split is not None
    return split.take(slice(None))[0][:, 0, 0, 0].tolist()


def test_everything_by_default(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(), CPU)
    assert numbers(data.train) == list(range(200))
    assert numbers(data.test) == list(range(50))
    assert data.holdout is None
    assert data.num_classes == 4


@pytest.mark.parametrize("holdout", [0.0, 0.25])
def test_nothing_is_read_back_from_the_device(numbered: ImageData, holdout: float) -> None:
    data = prepare(numbered, TrainConfig(holdout=holdout), torch.device("meta"))  # whose memory cannot be read
    assert data.train.images.is_meta
    assert data.mean.is_meta
    assert (data.holdout is not None) == (holdout > 0)


def test_nothing_is_copied_without_a_holdout(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(train_subset=120), CPU)
    assert data.train.images.data_ptr() == numbered.train_images.ctypes.data


def test_subsets_are_the_first_images(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(train_subset=30, test_subset=7), CPU)
    assert numbers(data.train) == list(range(30))
    assert numbers(data.test) == list(range(7))
    assert data.train.labels.tolist() == numbered.train_labels[:30].tolist()


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 20), (0.25, 50), (0.5, 100), (0.123, 25), (0.005, 1)])
def test_holdout_and_training_images_are_disjoint_and_complete(
    numbered: ImageData, fraction: float, count: int
) -> None:
    data = prepare(numbered, TrainConfig(holdout=fraction), CPU)
    held, trained = numbers(data.holdout), numbers(data.train)
    assert len(held) == count
    assert len(trained) == 200 - count
    assert sorted(held + trained) == list(range(200))


def test_labels_stay_with_their_images(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(holdout=0.2), CPU)
    assert data.holdout is not None
    for split in (data.train, data.holdout):
        assert split.take(slice(None))[1].tolist() == numbered.train_labels[numbers(split)].tolist()


def test_holdout_is_stratified(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(holdout=0.1), CPU)
    assert data.holdout is not None
    assert torch.bincount(data.holdout.take(slice(None))[1]).tolist() == [8, 6, 4, 2]


@pytest.mark.parametrize("count", [1, 7, 33, 99])
def test_each_class_gets_its_share_up_to_one(count: int) -> None:
    labels = np.random.RandomState(3).randint(0, 7, 500).astype(np.int64)
    positions = holdout_positions(labels, count)
    assert len(set(positions.tolist())) == count
    share = np.bincount(labels, minlength=7) * count / 500
    assert np.abs(np.bincount(labels[positions], minlength=7) - share).max() < 1


def test_holdout_is_the_same_for_every_seed(numbered: ImageData) -> None:
    config = TrainConfig(holdout=0.2)
    first = prepare(numbered, config, CPU)
    other = prepare(numbered, dataclasses.replace(config, seed=99, lr=1.0, batch_size=2), CPU)
    assert numbers(first.holdout) == numbers(other.holdout)


def test_holdout_is_spread_over_the_data(numbered: ImageData) -> None:
    """Positions within a class are shuffled: neither the first nor the last images alone."""
    held = numbers(prepare(numbered, TrainConfig(holdout=0.5), CPU).holdout)
    assert 30 < sum(number < 100 for number in held) < 70


def test_holdout_is_taken_from_the_subset(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(train_subset=40, holdout=0.25), CPU)
    assert sorted(numbers(data.holdout) + numbers(data.train)) == list(range(40))
    assert data.holdout is not None
    assert len(data.holdout) == 10


def test_statistics_are_of_the_images_trained_on(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(train_subset=100, holdout=0.3), CPU)
    flat = data.train.take(slice(None))[0].reshape(-1, 3).double()
    torch.testing.assert_close(data.mean.double(), flat.mean(dim=0))
    torch.testing.assert_close(data.std.double(), flat.std(dim=0, correction=0))


def test_read_only_arrays_are_taken_without_a_warning(numbered: ImageData) -> None:
    images, labels = numbered.train_images.copy(), numbered.train_labels.copy()
    images.flags.writeable = labels.flags.writeable = False
    data = make_image_data("frozen", 4, (images, labels), (images, labels))
    assert len(prepare(data, TrainConfig(holdout=0.1), CPU).train) == 180


def noise(count: int) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def test_channel_statistics_are_those_of_numpy() -> None:
    images = (noise(50) * np.array([1.0, 0.5, 0.1])).astype(np.uint8)
    mean, std = Split(torch.from_numpy(images), torch.zeros(len(images))).channel_statistics()
    flat = images.reshape(-1, 3).astype(np.float64)
    assert mean.dtype == std.dtype == torch.float32
    np.testing.assert_allclose(mean.numpy(), flat.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std.numpy(), flat.std(axis=0), rtol=1e-6)


def test_a_constant_channel_has_std_one() -> None:
    images = noise(5)
    images[..., 1] = 77
    mean, std = Split(torch.from_numpy(images), torch.zeros(len(images))).channel_statistics()
    assert (mean[1].item(), std[1].item()) == (77.0, 1.0)
    assert std[0].item() > 10


def test_channel_statistics_are_those_of_the_members_only() -> None:
    images = noise(30)
    members = torch.tensor([3, 1, 20])
    split = Split(torch.from_numpy(images), torch.zeros(30), members)
    mean, _ = split.channel_statistics()
    np.testing.assert_allclose(mean.numpy(), images[members.numpy()].reshape(-1, 3).mean(axis=0), rtol=1e-6)


def test_a_split_at_positions_shares_the_images(numbered: ImageData) -> None:
    data = prepare(numbered, TrainConfig(holdout=0.2), CPU)
    assert data.holdout is not None
    assert data.holdout.images.data_ptr() == data.train.images.data_ptr() == numbered.train_images.ctypes.data
    images, labels = data.holdout.take(slice(0, 3))
    assert data.holdout.positions is not None
    assert torch.equal(images, data.holdout.images[data.holdout.positions[:3]])
    assert torch.equal(labels, data.holdout.labels[data.holdout.positions[:3]])


SEARCHED = TrainConfig(holdout=0.25, recipe_version=SHARED_HOLDOUT)


def test_a_search_over_subsets_holds_out_the_same_images(numbered: ImageData) -> None:
    """Trials were judged on different images, some of which others were trained on."""
    subsets = [None, 150, 40, 8]
    cuts = [prepare(numbered, dataclasses.replace(SEARCHED, train_subset=subset), CPU) for subset in subsets]
    held = numbers(cuts[0].holdout)
    trained = [numbers(cut.train) for cut in cuts]
    assert [numbers(cut.holdout) for cut in cuts] == [held] * len(subsets)
    assert held == numbers(prepare(numbered, TrainConfig(holdout=0.25), CPU).holdout)
    assert not {*held} & {number for chosen in trained for number in chosen}
    assert [len(chosen) for chosen in trained] == [150, 112, 30, 6]
    assert all(chosen == trained[0][: len(chosen)] for chosen in trained)


@pytest.mark.parametrize("version", [RECIPE_VERSION, SHARED_HOLDOUT])
@pytest.mark.parametrize("subset", [None, 199, 41, 10])
def test_images_are_counted_without_the_data(numbered: ImageData, subset: int | None, version: int) -> None:
    config = TrainConfig(holdout=0.3, train_subset=subset, recipe_version=version)
    data = prepare(numbered, config, CPU)
    assert config.count_images(200) == (len(data.train), len(numbers(data.holdout)))
