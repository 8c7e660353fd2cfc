"""CIFAR-100 as torchvision unpacks it and as the Hub lays it out: a miniature with two kinds of labels."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.malicious import Malicious
from trainable.data.cifar100 import FOLDER, cifar100_class
from trainable.data.sources import load_dataset
from trainable.errors import UserError

FINE = {"train": [0, 3, 2, 1, 0, 2], "test": [3, 2, 1, 0]}
COARSE = {split: [label // 2 for label in labels] for split, labels in FINE.items()}
NAMES = {"fine_label": ["apple", "bear", "bee", "bus"], "coarse_label": ["fruit", "animals"]}
IMAGES = {
    split: np.random.RandomState(len(labels)).randint(0, 256, (len(labels), 32, 32, 3)).astype(np.uint8)
    for split, labels in FINE.items()
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def as_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "torchvision"
    (folder / FOLDER).mkdir(parents=True)
    sums = {}
    contents: dict[str, object] = {"meta": {f"{label}_names": names for label, names in NAMES.items()}}
    for split, images in IMAGES.items():
        flat = images.transpose(0, 3, 1, 2).reshape(-1, 3072)
        contents[split] = {"data": flat, "fine_labels": FINE[split], "coarse_labels": COARSE[split]}
    for name, content in contents.items():
        (folder / FOLDER / name).write_bytes(pickle.dumps(content, protocol=2))
        sums[name] = hashlib.md5((folder / FOLDER / name).read_bytes(), usedforsecurity=False).hexdigest()
    miniature = {
        "train_list": [["train", sums["train"]]],
        "test_list": [["test", sums["test"]]],
        "meta": {"filename": "meta", "key": "fine_label_names", "md5": sums["meta"]},
    }
    miniature_class = type("MiniatureCIFAR100", (cifar100_class(),), miniature)
    monkeypatch.setattr("trainable.data.cifar100.cifar100_class", lambda: miniature_class)
    return folder


@pytest.fixture
def as_hub(tmp_path: Path) -> Path:
    folder = tmp_path / "datasets--somebody--cifar100" / "snapshots" / ("0a" * 20)
    folder.mkdir(parents=True)
    features = {label: {"names": names, "_type": "ClassLabel"} for label, names in NAMES.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, images in IMAGES.items():
        encoded = [{"bytes": Image.fromarray(image)._repr_png_(), "path": None} for image in images]
        table = pa.table({"img": encoded, "fine_label": FINE[split], "coarse_label": COARSE[split]})
        pq.write_table(table.replace_schema_metadata(metadata), folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("label", [None, "fine_label", "coarse_label"])
def test_both_layouts_are_one_data_set(as_torchvision: Path, as_hub: Path, label: str | None) -> None:
    expected = COARSE if label == "coarse_label" else FINE
    for folder in (as_torchvision, as_torchvision / FOLDER, as_hub, as_hub):  # the last one from the cache
        data = load_dataset("", folder, label)
        assert (data.name, data.class_names) == ("cifar100", tuple(NAMES[label or "fine_label"]))
        assert data.num_classes == len(data.class_names)
        np.testing.assert_array_equal(data.train_images, IMAGES["train"])
        np.testing.assert_array_equal(data.test_images, IMAGES["test"])
        assert (data.train_labels.tolist(), data.test_labels.tolist()) == (expected["train"], expected["test"])


def refusal(folder: Path | None, label: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_dataset("digits", folder, label)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_labels_that_are_not_there_are_refused(as_torchvision: Path, as_hub: Path) -> None:
    assert "--label corse_label" in refusal(as_torchvision, "corse_label")
    assert "did you mean 'coarse_label'?" in refusal(as_torchvision, "corse_label")
    refused = refusal(as_hub, "label")
    assert "has the columns img, fine_label, coarse_label: needed are img or image" in refused
    assert refused.endswith("and --label label")
    assert refusal(as_hub, "img").endswith("needed are whole numbers or names")
    assert refusal(None, "fine_label") == (
        "--label fine_label chooses the labels of the data set in a folder: give --data, too"
    )


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_an_altered_pickle_is_refused_before_it_is_opened(as_torchvision: Path, tmp_path: Path, name: str) -> None:
    path = as_torchvision / FOLDER / name
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    refused = refusal(as_torchvision)
    assert f"{path} is truncated or altered" in refused
    assert refused.endswith("fetch the data set again")
    path.unlink()
    assert f"{path} is missing" in refusal(as_torchvision)
    assert not (tmp_path / "ran").exists()
