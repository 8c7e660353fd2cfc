"""Data sets in the Parquet layout of the Hugging Face Hub: what is read and what is refused."""

import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFile

from trainable.data import memory
from trainable.data.contract import Images
from trainable.data.hf_parquet import load_hf_parquet
from trainable.data.sources import load_dataset
from trainable.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my-set"
    path.mkdir()
    return path


def random_images(count: int, size: int = 8, seed: int = 0) -> Images:
    return np.random.RandomState(seed).randint(0, 256, (count, size, size, 3)).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, images: Any, labels: Any, column: str = "img", names: int = 0) -> None:  # noqa: ANN401
    """Rows as the Hub writes them; `images` may be bytes already, `labels` an arrow array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = [image if image is None or isinstance(image, bytes) else png(image) for image in images]
    struct = pa.array(
        [{"bytes": content, "path": None} for content in encoded],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    table = pa.table({column: struct, "label": labels})
    if names:
        features = {"label": {"names": [f"class {number}" for number in range(names)], "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


def write_good(folder: Path, **options: Any) -> None:  # noqa: ANN401
    write(folder / "train-00000-of-00001.parquet", random_images(6), [0, 1, 2, 0, 1, 2], **options)
    write(folder / "test-00000-of-00001.parquet", random_images(3, seed=1), [2, 1, 0], **options)


@pytest.mark.parametrize("column", ["img", "image"])
def test_images_and_labels_are_read(folder: Path, column: str) -> None:
    write_good(folder, column=column)
    data = load_hf_parquet(folder)
    assert (data.name, data.num_classes) == ("my-set", 3)
    np.testing.assert_array_equal(data.train_images, random_images(6))
    np.testing.assert_array_equal(data.test_images, random_images(3, seed=1))
    assert data.train_labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.test_labels.tolist() == [2, 1, 0]


def test_files_are_joined_in_order_wherever_they_lie(folder: Path) -> None:
    images = random_images(4)
    write(folder / "data" / "train-00001-of-00002.parquet", images[2:], [2, 3])
    write(folder / "data" / "train-00000-of-00002.parquet", images[:2], [0, 1])
    write(folder / "data" / "test-00000-of-00001.parquet", images, [0, 1, 2, 3])
    data = load_hf_parquet(folder)
    assert data.train_labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(data.train_images, images)


def test_class_names_count_the_classes_that_do_not_occur(folder: Path) -> None:
    write_good(folder, names=10)
    assert load_hf_parquet(folder).num_classes == 10


def test_other_class_names_in_another_file_are_refused(folder: Path) -> None:
    """The labels of one would be wrong."""
    write_good(folder, names=3)
    path = folder / "test-00000-of-00001.parquet"
    table = pq.read_table(path)
    named = table.schema.metadata[b"huggingface"].replace(b"class 0", b"other")
    pq.write_table(table.replace_schema_metadata({"huggingface": named}), path)
    assert f"the classes have other names in {path} than in" in refusal(folder)


@pytest.mark.parametrize(
    "metadata", [b"{", b"[]", b"{}", b'{"info": {"features": {"label": {"names": null}}}}', b"\xff"]
)
def test_unreadable_metadata_is_no_metadata(folder: Path, metadata: bytes) -> None:
    write_good(folder)
    path = folder / "train-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": metadata}), path)
    assert load_hf_parquet(folder).num_classes == 3


def test_grey_images_become_three_equal_channels(folder: Path) -> None:
    grey = random_images(2)[..., 0]
    write(folder / "train-0.parquet", grey, [0, 1])
    write(folder / "test-0.parquet", grey, [0, 1])
    images = load_hf_parquet(folder).train_images
    assert images.shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(images, grey[..., None].repeat(3, axis=3))


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.uint8()])
def test_labels_may_be_any_whole_numbers(folder: Path, kind: Any) -> None:  # noqa: ANN401
    for split in ("train", "test"):
        write(folder / f"{split}-0.parquet", random_images(2), pa.array([1, 0], kind))
    assert load_hf_parquet(folder).train_labels.dtype == np.int64


def test_a_folder_is_recognized_by_its_layout(folder: Path) -> None:
    write_good(folder)
    assert load_dataset("cifar10", folder).name == "my-set"


def test_changed_files_are_another_data_set(folder: Path) -> None:
    write_good(folder)
    before = load_hf_parquet(folder).fingerprint
    write(folder / "test-00000-of-00001.parquet", random_images(3, seed=2), [2, 1, 0])
    assert load_hf_parquet(folder).fingerprint != before


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_hf_parquet(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_split_is_refused(folder: Path, missing: str) -> None:
    write_good(folder)
    next(folder.glob(f"{missing}-*")).unlink()
    assert f"{folder} holds no {missing}-*.parquet" in refusal(folder)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(folder: Path, share: float) -> None:
    write_good(folder)
    path = folder / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert f"{path} is truncated or no Parquet file" in refusal(folder)


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    write_good(folder)
    (folder / "train-broken.parquet").symlink_to(folder / "nowhere")
    assert f"cannot read {folder / 'train-broken.parquet'}" in refusal(folder)


STRUCT = pa.array([{"bytes": png(random_images(1)[0])}] * 2)
NUMBERS = pa.array([0, 1])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": STRUCT, "label": NUMBERS}, "has the columns picture, label: needed are img or image"),
        ({"img": STRUCT, "kind": NUMBERS}, "has the columns img, kind: needed"),
        ({"img": STRUCT, "fine_label": NUMBERS}, "the classes are numbers in the column fine_label of"),
        ({"img": NUMBERS, "label": NUMBERS}, "column img is int64, needed is a struct with binary bytes"),
        ({"img": pa.array([{"path": "a"}] * 2), "label": NUMBERS}, "needed is a struct with binary bytes"),
        ({"img": pa.array([{"bytes": "text"}] * 2), "label": NUMBERS}, "column img"),
        ({"img": STRUCT, "label": pa.array([0.0, 1.0])}, "column label is double, needed are whole numbers"),
        ({"img": STRUCT, "label": pa.array(["a", "b"])}, "the classes are names in the column label of"),
        (
            {"img": STRUCT, "label": pa.array([b"a", b"b"])},
            "column label is binary, needed are whole numbers or names",
        ),
        ({"img": STRUCT, "label": pa.array([True, False])}, "column label is bool, needed are whole numbers"),
        ({"img": STRUCT, "label": pa.array([0, None])}, "row 1: the row holds no label"),
        ({"img": STRUCT, "label": pa.array([0, -1])}, "label -1 is negative"),
        ({"img": STRUCT[:0], "label": NUMBERS[:0]}, "holds no rows"),
        ({"img": [], "label": []}, "holds no rows"),
    ],
)
def test_columns_of_another_form_are_refused(folder: Path, columns: dict[str, Any], message: str) -> None:
    write_good(folder)
    path = folder / "train-00000-of-00001.parquet"
    pq.write_table(pa.table(columns), path)
    refused = refusal(folder)
    assert str(path) in refused
    assert message in refused


@pytest.mark.parametrize("content", [b"no image", png(random_images(1)[0])[:-30], b"", None])
def test_a_row_that_is_no_image_is_refused(folder: Path, content: bytes | None) -> None:
    write_good(folder)
    path = folder / "test-00000-of-00001.parquet"
    write(path, [random_images(1)[0], content], [0, 1])
    assert f"{path}, row 1: {'not an image' if content else 'the row holds no image'}" in refusal(folder)


def test_images_of_different_size_in_a_file_are_refused(folder: Path) -> None:
    write_good(folder)
    path = folder / "test-00000-of-00001.parquet"
    write(path, [random_images(1)[0], random_images(1, size=9)[0]], [0, 1])
    assert f"{path}, row 1: the image is 9x9, the first one 8x8" in refusal(folder)


def test_images_of_different_size_in_two_files_are_refused(folder: Path) -> None:
    write_good(folder)
    path = folder / "test-00000-of-00001.parquet"
    write(path, random_images(2, size=9), [0, 1])
    assert str(path) in refusal(folder)
    assert "images differ in size: (8, 8)" in refusal(folder)


def encoded_as(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random_images(1)[0]).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("EPS", "an EPS image"),
        ("GIF", "a GIF image"),
        ("BMP", "a BMP image"),
        ("TIFF", "a TIFF image"),
        ("WEBP", "a WebP image"),
        ("PDF", "a PDF file"),
        ("JPEG2000", "a JPEG 2000 image"),
        ("PPM", "not an image (neither PNG nor JPEG)"),
        ("TGA", "not an image (neither PNG nor JPEG)"),
    ],
)
def test_only_png_and_jpeg_are_opened(folder: Path, kind: str, named: str) -> None:
    write_good(folder)
    path = folder / "test-00000-of-00001.parquet"
    write(path, [random_images(1)[0], encoded_as(kind)], [0, 1])
    assert f"{path}, row 1: {named}" in refusal(folder)


def test_jpeg_is_read(folder: Path) -> None:
    for split in ("train", "test"):
        write(folder / f"{split}-0.parquet", [encoded_as("JPEG")] * 2, [0, 1])
    assert load_hf_parquet(folder).train_images.shape == (2, 8, 8, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has this size."""
    small = png(random_images(1)[0])
    start = small.index(b"IHDR")
    chunk = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + small[start + 12 : start + 17]
    return small[:start] + chunk + zlib.crc32(chunk).to_bytes(4) + small[start + len(chunk) + 4 :]


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("side", [4097, 10_000, 14_000, 30_000])
def test_an_image_of_many_pixels_is_refused_before_it_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, side: int, row: int
) -> None:
    write_good(folder)
    path = folder / "test-00000-of-00001.parquet"
    images: list[Any] = [random_images(1)[0]] * 2
    images[row] = png_header(side, side)
    write(path, images, [0, 1])
    monkeypatch.setattr(ImageFile.ImageFile, "load", never_for_large(ImageFile.ImageFile.load))
    refused = refusal(folder)
    assert f"{path}, row {row}: the image " in refused
    assert f"{side}x{side}" in refused or "more than 16,777,216 pixels" in refused


def never_for_large(load: Any) -> Any:  # noqa: ANN401
    def checked(self: Any) -> Any:  # noqa: ANN401
        assert self.width == 8
        return load(self)

    return checked


def test_images_that_do_not_fit_into_memory_are_refused_before_they_are_allocated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainable.data.memory.available_bytes", lambda: 2**30)
    content = png_header(4000, 4000)
    path = folder / "train-0.parquet"
    write(path, [content] * 50, list(range(50)))
    write(folder / "test-0.parquet", [content], [0])
    monkeypatch.setattr(np, "empty", None)
    assert refusal(folder) == (
        f"{path}, row 0: images of 4000x4000 pixels; all 51 images need 2.3 GiB of memory, 1.0 GiB are free"
    )


def test_memory_is_limited_by_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < memory.available_bytes() < 2**50
    for name, text in {"max": "1000\n", "current": "700\n", "stat": "anon 600\ninactive_file 50\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes() == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 350


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([0, 2**40]), f"row 1: label {2**40} is too large: at most 8, since the data set has 9 images"),
        (pa.array([2**64 - 1, 0], pa.uint64()), f"row 0: label {2**64 - 1} is too large"),
        (pa.array([0, 9]), "row 1: label 9 is too large"),
        (pa.array([0, -(2**40)]), f"row 1: label {-(2**40)} is negative"),
    ],
)
def test_labels_out_of_range_are_refused(folder: Path, labels: Any, message: str) -> None:  # noqa: ANN401
    write(folder / "train-0.parquet", random_images(7), range(7))
    path = folder / "test-0.parquet"
    write(path, random_images(2), labels)
    assert f"{path}, {message}" in refusal(folder)


def test_more_class_names_than_a_network_can_have_are_refused(folder: Path) -> None:
    write_good(folder, names=2**16 + 1)
    assert "names 65537 classes, but the data set has only 9 images" in refusal(folder)


@pytest.mark.parametrize("row", [0, 1])
def test_a_row_with_only_a_path_says_so(folder: Path, row: int) -> None:
    """It was told as a broken image."""
    write_good(folder)
    path = folder / "test-00000-of-00001.parquet"
    images: list[dict[str, Any]] = [{"bytes": png(random_images(1)[0]), "path": None}] * 2
    images[row] = {"bytes": None, "path": "cats/1.png"}
    pq.write_table(pa.table({"img": images, "label": [0, 1]}), path)
    assert refusal(folder) == (
        f"{path}, row {row}: the row holds no image, only the path 'cats/1.png': write the content of the image "
        "files into img.bytes"
    )
