"""What follows from the figures: shares of the device's limits, hours of the published tables, a line for a README.

Plain arithmetic on the JSON of the sections; whatever a section lacks is left out.
"""

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.on_gpu.bench import Row
from benchmarks.on_gpu.effort import MODEL
from models.names import display_name
from results.published.cells import PublishedCell, published_cells
from results.published.counts import work_counts

TRAIN_IMAGES, TEST_IMAGES = 50_000, 10_000
"""Of an epoch of CIFAR-10."""
PUBLISHED_PRECISION = "fp32"
SECONDS_PER_HOUR = 3600
HEADLINE_BATCH_SIZE = 128

Curve = Mapping[int, float]
"""A figure by batch size."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Images a second of one model."""

    train: Curve
    evaluate: Curve


def at_batch_size(curve: Curve, batch_size: int) -> float:
    """Linear in the logarithm of the batch size between two that were measured, else that of the nearest.

    Raises:
        ValueError: nothing was measured.
    """
    if not curve:
        raise ValueError("no batch size was measured")
    sizes = sorted(curve)
    place = bisect.bisect_left(sizes, batch_size)
    if place == len(sizes) or place == 0 or sizes[place] == batch_size:
        return curve[sizes[min(place, len(sizes) - 1)]]
    low, high = sizes[place - 1], sizes[place]
    share = math.log(batch_size / low) / math.log(high / low)
    return curve[low] + share * (curve[high] - curve[low])


def published_hours(
    cells: Iterable[PublishedCell], rates: Mapping[str, Rates], factor: Curve, sharing: Curve
) -> tuple[float, dict[str, int]]:
    """Hours of training and evaluating every distinct configuration once, at the end of each of its epochs.

    Args:
        rates: by model.
        factor: on the rates, for another number format; empty for none.
        sharing: on the rates of MODEL, with several trials at once; empty for one at a time.

    Returns:
        The hours, and the number of configurations left out for each model without a rate.
    """
    hours, left_out = 0.0, dict[str, int]()
    for model, batch_size, _, _, epochs in {cell.configuration: None for cell in cells}:
        if model not in rates:
            left_out[model] = left_out.get(model, 0) + 1
            continue
        train = at_batch_size(rates[model].train, batch_size)
        evaluate = at_batch_size(rates[model].evaluate, batch_size)
        seconds = epochs * (TRAIN_IMAGES / train + TEST_IMAGES / evaluate)
        for speed_up in (factor, sharing if model == MODEL else {}):
            seconds /= at_batch_size(speed_up, batch_size) if speed_up else 1.0
        hours += seconds / SECONDS_PER_HOUR
    return hours, left_out


def conclude(sections: Mapping[str, Row], number_format: str) -> Row:
    """Everything below, as far as the sections go.

    Args:
        number_format: that the device trains in where none is asked for.
    """
    rates = measured_rates(sections)
    factor = precision_factor(sections, number_format)
    sharing = sharing_speed_ups(sections)
    best_sharing = {
        size: max(row["speed_up"] for row in sharing if row["batch_size"] == size) for size in _sizes(sharing)
    }
    cells = published_cells()
    counts = work_counts(cells)
    measured = work_counts([cell for cell in cells if cell.model in rates])
    conclusions: Row = {"shares_of_limits": shares_of_limits(sections, number_format), "sharing_speed_ups": sharing}
    if not rates:
        return conclusions
    hours, left_out = published_hours(cells, rates, {}, {})
    conclusions["published_tables"] = {
        "basis": (
            "every distinct configuration once; epochs x (50,000 images at the captured training rate of its batch "
            "size, linear in log batch size, and 10,000 at the evaluation rate); start-up is not counted"
        ),
        "num_configurations": counts.num_configurations,
        "left_out": left_out,
        "hours": hours,
        "hours_fp32": published_hours(cells, rates, factor, {})[0] if factor else None,
        "hours_sharing": published_hours(cells, rates, {}, best_sharing)[0] if best_sharing else None,
        "hours_fp32_sharing": (
            published_hours(cells, rates, factor, best_sharing)[0] if factor and best_sharing else None
        ),
        "published_hours": measured.hours,
        "published_hardware": list(counts.hardware),
    }
    return conclusions


def measured_rates(sections: Mapping[str, Row]) -> dict[str, Rates]:
    """Of captured training, by model; the first measurement of a batch size counts."""
    train: dict[str, dict[int, float]] = {}
    evaluate: dict[str, dict[int, float]] = {}
    for cell in sections.get("speed", {}).get("cells", []):
        if graph := cell["variants"].get("graph"):
            for curves, name in ((train, "train_images_per_second"), (evaluate, "eval_images_per_second")):
                curves.setdefault(cell["model"], {}).setdefault(cell["batch_size"], graph[name]["median"])
    return {model: Rates(train[model], evaluate[model]) for model in train}


def precision_factor(sections: Mapping[str, Row], number_format: str) -> dict[int, float]:
    """Training rate in the format of the published runs over that of the format chosen by itself, by batch size."""
    factors = {}
    for cell in sections.get("precision", {}).get("cells", []):
        variants = cell["variants"]
        if number_format in variants and PUBLISHED_PRECISION in variants:
            ours, base = (
                variants[name]["train_images_per_second"]["median"] for name in (PUBLISHED_PRECISION, number_format)
            )
            factors[cell["batch_size"]] = ours / base
    return factors


def sharing_speed_ups(sections: Mapping[str, Row]) -> list[Row]:
    """Of several trials at once over one alone without the service, medians and the extremes of the slices."""
    cells = sections.get("sharing", {}).get("cells", [])
    alone = {
        cell["batch_size"]: cell["images_per_second"]
        for cell in cells
        if cell["num_processes"] == 1 and not cell["mps"]
    }
    rows = []
    for cell in cells:
        if base := alone.get(cell["batch_size"]):
            mine = cell["images_per_second"]
            rows.append(
                {name: cell[name] for name in ("batch_size", "num_processes", "mps")}
                | {
                    "speed_up": mine["median"] / base["median"],
                    "lowest": mine["min"] / base["max"],
                    "highest": mine["max"] / base["min"],
                }
            )
    return rows


def shares_of_limits(sections: Mapping[str, Row], number_format: str) -> list[Row]:
    """Per batch size, of the fastest way: arithmetic over the matrix-product peak, traffic over copying."""
    limits, speed = sections.get("limits", {}), sections.get("speed", {})
    peaks: dict[str, float] = {}
    for row in limits.get("matrix_products", []):
        peaks[row["format"]] = max(row["tflops"], peaks.get(row["format"], 0.0))
    if number_format not in peaks or not limits.get("copies") or not limits.get("demand"):
        return []
    demand, copying = limits["demand"][0], limits["copies"][0]["gigabytes_per_second"]
    width = 1.0 if number_format == PUBLISHED_PRECISION else 0.5
    best: dict[int, tuple[float, str]] = {}
    for cell in speed.get("cells", []):
        if cell["model"] == MODEL:
            found = [(run["train_images_per_second"]["median"], name) for name, run in cell["variants"].items()] + [
                best.get(cell["batch_size"], (0.0, ""))
            ]
            best[cell["batch_size"]] = max(found)
    return [
        {
            "batch_size": batch_size,
            "way": name,
            "images_per_second": rate,
            "share_of_matrix_product_peak": rate * demand["flops_per_image"] / (peaks[number_format] * 1e12),
            "share_of_copy_bandwidth_if_unfused": (
                rate * width * demand["bytes_per_image_unfused_fp32"] / (copying * 1e9)
            ),
        }
        for batch_size, (rate, name) in sorted(best.items())
        if rate
    ]


def readme_line(device: Row, sections: Mapping[str, Row], conclusions: Row) -> str:
    """The one sentence; parts that were not measured are missing from it."""
    number_format, is_gpu = device.get("precision_auto", ""), device.get("type") == "cuda"
    parts = []
    cells = [cell for cell in sections.get("speed", {}).get("cells", []) if cell["model"] == MODEL]
    graph = measured_rates(sections).get(MODEL)
    if graph:
        size = min(graph.train, key=lambda size: abs(math.log(size / HEADLINE_BATCH_SIZE)))
        parts.append(
            f"{display_name(MODEL)} trains at {graph.train[size]:,.0f} images/s and is evaluated at "
            f"{graph.evaluate[size]:,.0f} (batch {size}, {number_format}{', CUDA graph' if is_gpu else ''})"
        )
    for pair, verb in (("graph over eager", "graph"), ("compile over graph", "compile on top")):
        found = {cell["batch_size"]: cell["speed_up"][pair]["median"] for cell in cells if pair in cell["speed_up"]}
        if found:
            parts.append(f"{verb} " + ", ".join(f"x {found[size]:.1f} at {size}" for size in sorted(found)))
    if speed_ups := [row for row in conclusions["sharing_speed_ups"] if row["num_processes"] > 1]:
        best = max(speed_ups, key=lambda row: float(row["speed_up"]))
        parts.append(
            f"sharing x {best['speed_up']:.1f} with {best['num_processes']} trials at once at batch "
            f"{best['batch_size']} ({'with' if best['mps'] else 'without'} MPS)"
        )
    if hours := conclusions.get("published_tables"):
        parts.append(_hours_text(hours, number_format))
    return f"On one {device['name']}: " + ("; ".join(parts) or "nothing was measured") + "."


def _hours_text(hours: Row, number_format: str) -> str:
    one = hours["hours_fp32"] if hours["hours_fp32"] is not None else hours["hours"]
    several = hours["hours_fp32_sharing"] if hours["hours_fp32"] is not None else hours["hours_sharing"]
    shown = PUBLISHED_PRECISION if hours["hours_fp32"] is not None else number_format
    num_left = sum(hours["left_out"].values())
    return (
        f"the whole seed ({hours['num_configurations'] - num_left} of {hours['num_configurations']} trainings, "
        f"{shown}) in about {one:,.1f} hours one at a time"
        + (f", {several:,.1f} with the best sharing" if several is not None else "")
        + f" (published: {hours['published_hours']:,.0f} on a {', '.join(hours['published_hardware'])})"
    )


def _sizes(rows: Iterable[Row]) -> list[int]:
    return sorted({row["batch_size"] for row in rows})
