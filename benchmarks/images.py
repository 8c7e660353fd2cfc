"""Images for benchmarks: noise will do, since the speed of training does not depend on what images show."""

import io
from pathlib import Path

import numpy as np

from trainable.data.contract import ImageData, Images, Labels, make_image_data
from trainable.data.sizes import IMAGE_SIZE, NUM_IMAGES
from trainable.data.sources import load_dataset

NUM_CLASSES = 10
CIFAR_TRAIN, CIFAR_TEST = NUM_IMAGES["cifar10"]


def noise(num_train: int = CIFAR_TRAIN, num_test: int = CIFAR_TEST) -> ImageData:
    """Make noise in the shape of CIFAR-10, the same in every call."""
    random = np.random.RandomState(0)

    def split(count: int) -> tuple[Images, Labels]:
        images = random.randint(0, 256, (count, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        return images, random.randint(0, NUM_CLASSES, count).astype(np.int64)

    return make_image_data("noise", NUM_CLASSES, split(num_train), split(num_test))


def load_or_noise(folder: Path | None, num_train: int = CIFAR_TRAIN, num_test: int = CIFAR_TEST) -> ImageData:
    """Load the data set in the folder as `tune_main.py run --data` reads it, or make noise where there is none."""
    return noise(num_train, num_test) if folder is None else load_dataset(folder.name, folder)


def write_parquet(data: ImageData, folder: Path) -> None:
    """Write the data set as PNG in the layout that `--data` accepts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for split, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        rows = pa.array([{"bytes": _png(image), "path": None} for image in images], kind)
        pq.write_table(pa.table({"img": rows, "label": labels}), folder / f"{split}-00000-of-00001.parquet")


def _png(image: Images) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
