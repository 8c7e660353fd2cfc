"""Decoded data sets on disk."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainable.cache_folder import cache_folder
from trainable.data.cache import cached
from trainable.data.contract import ImageData
from trainable.errors import UserError
from trainable.ledger.files import LOCK
from trainable.ledger.locks import exclusive_lock

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))


class Source:
    """Counts how often it is decoded."""

    def __init__(self, data: ImageData) -> None:
        self.data = data
        self.num_decoded = 0

    def decode(self) -> ImageData:
        self.num_decoded += 1
        return self.data

    def load(self, identity: str = "0123456789abcdef") -> ImageData:
        return cached("tiny", identity, self.decode)


@pytest.fixture
def source(tiny_data: ImageData) -> Source:
    return Source(tiny_data)


def test_a_source_is_decoded_once(source: Source, tiny_data: ImageData) -> None:
    for _ in range(3):
        data = source.load()
        assert (data.name, data.num_classes, data.fingerprint) == ("tiny", 3, tiny_data.fingerprint)
        for array in ARRAYS:
            np.testing.assert_array_equal(getattr(data, array), getattr(tiny_data, array))
    assert source.num_decoded == 1


def test_arrays_are_mapped_and_cannot_be_written(source: Source) -> None:
    data = source.load()
    assert isinstance(data.train_images, np.memmap)
    assert not data.train_images.flags.writeable


def test_what_a_killed_process_left_is_deleted_and_nothing_else(source: Source) -> None:
    source.load("a" * 16)
    decoded = cache_folder() / "decoded"
    abandoned, recent, held = (decoded / f"tiny-{name}.{name * 2}" for name in ("a" * 8, "b" * 8, "c" * 8))
    for folder in (abandoned, recent, held):
        folder.mkdir()
        (folder / "train_images.npy").write_bytes(b"half")
    with exclusive_lock(held / LOCK):
        for folder in (abandoned, held):
            os.utime(folder, (0, 0))
        source.load("b" * 16)
    assert {path.name for path in decoded.iterdir()} == {
        f"tiny-{'a' * 16}",
        f"tiny-{'b' * 16}",
        recent.name,
        held.name,
    }
    assert LOCK not in {path.name for path in decoded.glob("tiny-*/*") if path.parent != held}


def test_another_identity_is_decoded_again(source: Source) -> None:
    source.load("a" * 16)
    source.load("b" * 16)
    assert source.num_decoded == 2


def test_nothing_but_the_data_set_is_left(source: Source) -> None:
    source.load()
    assert [path.name for path in (cache_folder() / "decoded").iterdir()] == ["tiny-0123456789abcdef"]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"[1, 2]")


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy", "meta.json"])
@pytest.mark.parametrize("damage", [flip_a_bit, truncate, empty, garbage, Path.unlink])
def test_a_damaged_cache_is_decoded_again(
    source: Source, tiny_data: ImageData, name: str, damage: Callable[[Path], None]
) -> None:
    source.load()
    damage(cache_folder() / "decoded" / "tiny-0123456789abcdef" / name)
    assert source.load().fingerprint == tiny_data.fingerprint
    assert source.num_decoded == 2
    source.load()
    assert source.num_decoded == 2  # mended


def test_meta_without_a_fingerprint_is_damage(source: Source) -> None:
    source.load()
    path = cache_folder() / "decoded" / "tiny-0123456789abcdef" / "meta.json"
    path.write_text(json.dumps({"name": "tiny", "num_classes": 3}))
    source.load()
    assert source.num_decoded == 2


def test_a_cache_that_cannot_be_written_is_a_users_mistake(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        UserError, match=f"cannot write the cache {tmp_path / 'file'}.*set BATCHSCAPE_CACHE"
    ) as caught:
        source.load()
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("trainable.data.cache.NO_HOME", tmp_path / "file")
    with pytest.raises(UserError, match="there is no home folder; set BATCHSCAPE_CACHE"):
        source.load()


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("BATCHSCAPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/batchscape")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/batchscape")
