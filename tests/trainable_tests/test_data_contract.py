"""What every data set has to be."""

import numpy as np
import pytest

from trainable.data.contract import Images, Labels, make_image_data


def split(count: int = 6, size: int = 4) -> tuple[Images, Labels]:
    images = np.arange(count * size * size * 3).reshape(count, size, size, 3).astype(np.uint8)
    return images, np.arange(count, dtype=np.int64) % 3


IMAGES, LABELS = split()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, r"images must be uint8 \[N, H, W, 3\], got float32"),
        (IMAGES[..., :1], LABELS, r"images must be uint8 .*\(6, 4, 4, 1\)"),
        (IMAGES[0], LABELS, r"images must be uint8 .*\(4, 4, 3\)"),
        (IMAGES, LABELS.astype(np.int32), r"labels must be int64 \[6\], got int32"),
        (IMAGES, LABELS[:5], r"labels must be int64 \[6\], got int64 \(5,\)"),
        (IMAGES, LABELS[:, None], r"labels must be int64 \[6\], got int64 \(6, 1\)"),
        (IMAGES[:0], LABELS[:0], r"split holds no images"),
        (IMAGES, LABELS + 1, r"labels must lie in \[0, 3\), got 1 to 3"),
        (IMAGES, LABELS - 1, r"labels must lie in \[0, 3\), got -1 to 1"),
    ],
)
@pytest.mark.parametrize("place", ["train", "test"])
def test_broken_arrays_are_refused(images: Images, labels: Labels, message: str, place: str) -> None:
    broken, good = (images, labels), split()
    with pytest.raises(ValueError, match=f"{place} {message}"):
        make_image_data("x", 3, *((broken, good) if place == "train" else (good, broken)))


def test_splits_must_have_one_size() -> None:
    with pytest.raises(ValueError, match=r"train images are \(4, 4, 3\), test images \(5, 5, 3\)"):
        make_image_data("x", 3, split(), split(size=5))


def test_fingerprint_is_a_function_of_the_content_alone() -> None:
    first = make_image_data("x", 3, split(), split())
    strided = np.concatenate([IMAGES, IMAGES], axis=1)[:, :4]
    assert not strided.flags.c_contiguous
    second = make_image_data("another name", 4, (strided, LABELS), split())
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 16


@pytest.mark.parametrize("place", range(4))
def test_fingerprint_changes_with_every_array(place: int) -> None:
    before = make_image_data("x", 3, split(), split()).fingerprint
    train, test = split(), split()
    changed = (*train, *test)[place]
    changed.flat[-1] = 0 if changed.flat[-1] else 1
    assert make_image_data("x", 3, train, test).fingerprint != before


def test_fingerprint_changes_with_order_and_with_the_cut_between_splits() -> None:
    images, labels = split(12)
    prints = {
        make_image_data("x", 3, (images[:6], labels[:6]), (images[6:], labels[6:])).fingerprint,
        make_image_data("x", 3, (images[:7], labels[:7]), (images[7:], labels[7:])).fingerprint,
        make_image_data("x", 3, (images[5::-1], labels[5::-1]), (images[6:], labels[6:])).fingerprint,
    }
    assert len(prints) == 3
