"""What the GPU benchmark concludes, against arithmetic done by hand."""

import dataclasses
from typing import Any

import pytest

from benchmarks.on_gpu.conclusions import Rates, at_batch_size, conclude, published_hours, readme_line
from benchmarks.on_gpu.sharing import total_rates
from results.published.cells import PublishedCell, published_cells

PREACT_20 = next(cell for cell in published_cells() if cell.model == "resnet_preact_20")
PREACT_110 = next(cell for cell in published_cells() if cell.model == "resnet_preact_110")


def cell(batch_size: int, epochs: int, like: PublishedCell = PREACT_20) -> PublishedCell:
    return dataclasses.replace(like, batch_size=batch_size, epochs=epochs)


def figure(median: float) -> dict[str, float]:
    return {"median": median, "min": 0.9 * median, "max": 1.1 * median}


def run(train: float, evaluate: float) -> dict[str, Any]:
    return {"train_images_per_second": figure(train), "eval_images_per_second": figure(evaluate)}


SECTIONS: dict[str, Any] = {
    "speed": {
        "cells": [
            {
                "model": "resnet_preact_20",
                "batch_size": size,
                "variants": {"eager": run(train / 4, train), "graph": run(train, 2 * train)},
                "speed_up": {"graph over eager": figure(4.0)},
            }
            for size, train in ((128, 50_000.0), (8, 10_000.0))
        ]
    },
    "precision": {
        "cells": [{"batch_size": 128, "variants": {"bf16": run(50_000, 1), "fp32": run(25_000, 1)}}],
    },
    "sharing": {
        "cells": [
            {"batch_size": 8, "num_processes": count, "mps": mps, "images_per_second": figure(rate)}
            for count, mps, rate in ((1, False, 8_000.0), (8, False, 12_000.0), (8, True, 24_000.0))
        ]
    },
    "limits": {
        "demand": [{"flops_per_image": 244e6, "bytes_per_image_unfused_fp32": 14e6}],
        "matrix_products": [
            {"format": "bf16", "size": 4096, "tflops": 500.0},
            {"format": "bf16", "size": 8192, "tflops": 610.0},
        ],
        "copies": [{"gigabytes_per_second": 2800.0}],
    },
}


def test_between_two_batch_sizes_rates_are_linear_in_the_logarithm() -> None:
    curve = {8: 100.0, 128: 500.0}
    assert at_batch_size(curve, 32) == pytest.approx(300.0)
    assert at_batch_size(curve, 16) == pytest.approx(200.0)
    assert [at_batch_size(curve, size) for size in (2, 8, 128, 4096)] == [100.0, 100.0, 500.0, 500.0]
    with pytest.raises(ValueError, match="no batch size"):
        at_batch_size({}, 8)


def test_hours_by_hand() -> None:
    """100 epochs at 1,000 and 2,000 images/s: 50 s + 5 s each; at batch 32 half way to 3,000: 25 s + 5 s."""
    rates = {"resnet_preact_20": Rates({8: 1_000.0, 128: 3_000.0}, {8: 2_000.0})}
    cells = [cell(8, 100), cell(8, 100), cell(32, 240), cell(128, 160, PREACT_110)]
    hours, left_out = published_hours(cells, rates, {}, {})
    assert hours == pytest.approx((100 * 55 + 240 * 30) / 3600)
    assert left_out == {"resnet_preact_110": 1}
    halved, _ = published_hours(cells, rates, {128: 0.5}, {})
    assert halved == pytest.approx(2 * hours)
    shared, _ = published_hours(cells, rates, {}, {8: 4.0})
    assert shared == pytest.approx(hours / 4)


def test_sharing_is_not_assumed_of_models_where_it_was_not_measured() -> None:
    rates = {"resnet_preact_110": Rates({128: 1_000.0}, {128: 2_000.0})}
    hours, _ = published_hours([cell(128, 160, PREACT_110)], rates, {}, {128: 4.0})
    assert hours == pytest.approx(160 * 55 / 3600)


def test_conclusions_from_sections() -> None:
    found = conclude(SECTIONS, "bf16")
    speed_ups = [(row["num_processes"], row["mps"], row["speed_up"]) for row in found["sharing_speed_ups"]]
    assert speed_ups == [(1, False, 1.0), (8, False, 1.5), (8, True, 3.0)]
    shares = {row["batch_size"]: row for row in found["shares_of_limits"]}
    assert shares[128]["way"] == "graph"
    assert shares[128]["share_of_matrix_product_peak"] == pytest.approx(50_000 * 244e6 / 610e12)
    assert shares[128]["share_of_copy_bandwidth_if_unfused"] == pytest.approx(50_000 * 7e6 / 2800e9)
    hours = found["published_tables"]
    assert hours["left_out"] == {"resnet_110": 1, "resnet_preact_110": 1}
    assert hours["hours_fp32"] == pytest.approx(2 * hours["hours"])
    assert hours["hours_fp32_sharing"] == pytest.approx(2 * hours["hours"] / 3)
    assert 0 < hours["published_hours"] < 97


def test_the_line_for_the_readme() -> None:
    device = {"name": "NVIDIA H100 80GB HBM3", "type": "cuda", "precision_auto": "bf16"}
    line = readme_line(device, SECTIONS, conclude(SECTIONS, "bf16"))
    assert line.startswith(
        "On one NVIDIA H100 80GB HBM3: ResNet-preact-20 trains at 50,000 images/s and is evaluated at 100,000 "
        "(batch 128, bf16, CUDA graph); graph x 4.0 at 8, x 4.0 at 128; "
        "sharing x 3.0 with 8 trials at once at batch 8 (with MPS); "
        "the whole seed (71 of 73 trainings, fp32) in about "
    )


@pytest.mark.parametrize("left", [[], ["speed"], ["sharing"], ["limits", "precision"]], ids="+".join)
def test_sections_that_are_missing_are_left_out(left: list[str]) -> None:
    sections = {name: SECTIONS[name] for name in left}
    line = readme_line({"name": "GPU"}, sections, conclude(sections, "bf16"))
    assert ("whole seed" in line) == ("speed" in left)
    assert ("sharing" in line) == ("sharing" in left)


def test_rates_count_only_the_time_in_which_all_processes_train() -> None:
    """Common time 1 s to 5 s: 100 images in each second of the first process, 50 in each of the second."""
    timelines = [[(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)], [(1.0, 5.0)]]
    assert total_rates(timelines, 200, 4) == pytest.approx([150.0] * 4)
    assert total_rates([[(0.0, 1.0), (1.0, 3.0)]], 100, 3) == pytest.approx([100.0, 50.0, 50.0])


def test_processes_that_did_not_meet_have_no_rate() -> None:
    with pytest.raises(ValueError, match="same time"):
        total_rates([[(0.0, 1.0)], [(2.0, 3.0)]], 100, 4)
