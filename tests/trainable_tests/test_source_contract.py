"""What every source of data must do with modes, sizes, labels, order and names. A new source joins the lists."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.trainable_tests.encoded_images import ENCODED_SOURCES, GREY, KEPT, REFUSED, EncodedSource, loaded, rows
from trainable.data.contract import ImageData
from trainable.data.digits import load_digits
from trainable.data.sources import load_dataset
from trainable.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=ENCODED_SOURCES)
def source(request: pytest.FixtureRequest) -> EncodedSource:
    return ENCODED_SOURCES[request.param]


@pytest.fixture(params=[name for name, source in ENCODED_SOURCES.items() if not source.has_names])
def numbered(request: pytest.FixtureRequest) -> EncodedSource:
    return ENCODED_SOURCES[request.param]


@pytest.fixture(params=[name for name, source in ENCODED_SOURCES.items() if source.has_names])
def named(request: pytest.FixtureRequest) -> EncodedSource:
    return ENCODED_SOURCES[request.param]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my-set"


def refusal(
    source: EncodedSource, folder: Path, train: list[tuple[bytes, int]], test: list[tuple[bytes, int]]
) -> str:
    with pytest.raises(UserError) as caught:
        loaded(source, folder, train, test)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_of_every_mode_keep_their_content(source: EncodedSource, folder: Path) -> None:
    encoded = [(content, index % 2) for index, (content, _) in enumerate(KEPT.values())]
    kinds = {content: (kind, expected) for kind, (content, expected) in KEPT.items()}
    data = loaded(source, folder, encoded, encoded[::-1])
    for images, given in ((data.train_images, encoded), (data.test_images, encoded[::-1])):
        for (content, _), image in zip(source.order(given), images, strict=True):
            kind, expected = kinds[content]
            np.testing.assert_array_equal(image, np.stack([expected] * 3, axis=-1), err_msg=kind)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_kept_is_refused_by_file_and_row(
    source: EncodedSource, folder: Path, kind: str, split: str
) -> None:
    good = rows([0, 1])
    bad = [good[0], (REFUSED[kind][0], 1)]
    splits = (bad, good) if split == "train" else (good, bad)
    if kind.startswith("other size") and source.makes_sizes_equal:
        assert loaded(source, folder, *splits).test_images.shape == (2, 32, 32, 3)
        return
    refused = refusal(source, folder, *splits)
    assert refused.startswith(f"{source.where(folder, split, 1)}: ")
    assert REFUSED[kind][1] in refused


def test_an_unknown_mode_is_refused_by_file_and_row(
    source: EncodedSource, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainable.data.encoded_image.EIGHT_BIT_MODES", ("L",))
    bad = [*rows([0]), (KEPT["8-bit colour"][0], 1)]
    refused = refusal(source, folder, bad, rows([0, 1]))
    assert refused == f"{source.where(folder, 'train', 1)}: pixels of the mode RGB cannot be converted to RGB"


def test_the_order_is_that_of_the_files(source: EncodedSource, folder: Path) -> None:
    labels = [2, 0, 1, 1, 2, 0]
    train, test = rows(labels), rows(labels[::-1], seed=1)
    data = loaded(source, folder, train, test)
    for found, given in ((data.train_labels, train), (data.test_labels, test)):
        assert found.tolist() == [label for _, label in source.order(given)]
    values = np.random.RandomState(0).randint(0, 256, (6, *GREY.shape))
    order = [train.index(row) for row in source.order(train)]
    np.testing.assert_array_equal(data.train_images[..., 0], values[order])


def test_the_same_files_are_the_same_data_set(source: EncodedSource, folder: Path) -> None:
    """With and without the cache."""
    first = loaded(source, folder, rows([0, 1, 2]), rows([2, 1, 0]))
    assert load_dataset("", folder).identity == first.identity


@pytest.mark.parametrize(
    ("labels", "num_classes"),
    [([0, 1, 2], 3), ([0, 2, 0, 2], 3), ([1, 2, 3], 4), ([5, 4, 3, 2, 1, 0], 6)],
)
def test_labels_are_numbers_from_zero(
    numbered: EncodedSource, folder: Path, labels: list[int], num_classes: int
) -> None:
    data = loaded(numbered, folder, rows(labels), rows(labels))
    assert (data.train_labels.tolist(), data.num_classes) == (labels, num_classes)


def test_names_are_numbered_in_their_order(named: EncodedSource, folder: Path) -> None:
    train = rows([3, 20, 1, 20])
    data = loaded(named, folder, train, rows([20, 1, 3]))
    assert data.class_names == ("class 1", "class 20", "class 3")
    names = [data.class_names[label] for label in data.train_labels]
    assert names == [f"class {label}" for _, label in named.order(train)]
    assert load_dataset("", folder).class_names == data.class_names  # from the cache


def test_a_class_that_only_test_images_have_is_refused_by_name(named: EncodedSource, folder: Path) -> None:
    assert refusal(named, folder, rows([0, 1, 2]), rows([0, 1, 2, 2, 4, 5])) == (
        f"{folder}: 2 of 6 test images have labels that no training image has ('class 4', 'class 5'): train and test "
        "need the same classes"
    )


def test_classes_without_test_images_are_told(
    source: EncodedSource, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(source, folder, rows([0, 1, 2, 3]), rows([0, 3], seed=1))
    names = "'class 1', 'class 2'" if source.has_names else "1, 2"
    assert capsys.readouterr().out == (
        f"note: no test image of my-set is of the classes {names}: the test error says nothing about them\n"
    )


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 1, -1], [0, 1], "label -1 is negative"),
        ([0, 1, 10**9], [0, 1], f"label {10**9} is too large"),
        ([0, 1, 2**40], [0, 1], f"label {2**40} is too large"),
        ([0, 10, 20, 30] * 8, [0, 10], "labels go up to 30, but only 4 different ones occur (0, 10, 20, ...)"),
        ([0, 1, 2], [3, 3, 4, 0], "3 of 4 test images have labels that no training image has"),
        ([7, 9] * 9, [9], "labels go up to 9, but only 2 different ones occur (7, 9): number the classes from 0"),
    ],
)
def test_labels_that_would_make_other_classes_are_refused(
    numbered: EncodedSource, folder: Path, train: list[int], test: list[int], message: str
) -> None:
    assert message in refusal(numbered, folder, rows(train), rows(test))


def digits(_: Path) -> ImageData:
    return load_digits()


def encoded(name: str) -> Callable[[Path], ImageData]:
    labels = np.random.RandomState(0).permutation(np.arange(60) % 3).tolist()
    return lambda folder: loaded(ENCODED_SOURCES[name], folder, rows(labels), rows(labels, seed=1))


EVERY_SOURCE = {"digits": digits, **{name: encoded(name) for name in ENCODED_SOURCES}}


@pytest.mark.parametrize("name", EVERY_SOURCE)
def test_every_source_gives_the_same_form(name: str, folder: Path) -> None:
    data = EVERY_SOURCE[name](folder)
    assert EVERY_SOURCE[name](folder).identity == data.identity
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        assert (images.dtype, images.ndim, images.shape[3]) == (np.dtype(np.uint8), 4, 3)
        assert labels.dtype == np.int64
        assert len(images) == len(labels)
        assert images.max() > 200  # the full range of 8 bits
        assert set(labels.tolist()) == set(range(data.num_classes))
        assert set(labels[: len(labels) // 3].tolist()) == set(range(data.num_classes))  # not sorted by class
    assert data.train_images.shape[1:] == data.test_images.shape[1:]
