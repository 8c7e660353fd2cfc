"""What is measured, a line each, as it comes."""

from collections.abc import Mapping

from benchmarks.on_gpu.bench import Row

MEGABYTE = 10**6


def text(section: str, key: str, value: object) -> str:
    """One figure of a section."""
    if key in ("left_out", "failed", "mps_unavailable"):
        return f"  {key.replace('_', ' ')}: {value}"
    if isinstance(value, Mapping) and (section, key) in _FORMS:
        return _FORMS[section, key](dict(value))
    return f"  {key}: {value}"


def rate(figure: Row) -> str:
    return f"{figure['median']:>9,.0f} ({figure['min']:,.0f} to {figure['max']:,.0f})"


def _comparison(row: Row) -> str:
    lines = [f"  {row['model']}, batch {row['batch_size']}"]
    for name, run in row["variants"].items():
        memory = run["peak_memory_bytes"]
        lines.append(
            f"    {name:8} train {rate(run['train_images_per_second'])} images/s, "
            f"eval {rate(run['eval_images_per_second'])}, start + {run['start_extra_seconds']:.1f} s"
            + (f", {memory / MEGABYTE:,.0f} MB" if memory is not None else "")
        )
    lines += [
        f"    {pair}: x {figure['median']:.2f} ({figure['min']:.2f} to {figure['max']:.2f})"
        for pair, figure in row["speed_up"].items()
    ]
    return "\n".join(lines + [f"    {name} failed: {error}" for name, error in row["failed"].items()])


def _course(row: Row) -> str:
    lines = [f"  {row['precision']}, {row['num_steps']} steps in {row['num_epochs']} epochs"]
    for name, figure in row.items():
        if isinstance(figure, dict) and "losses_bit_equal" in figure:
            apart = figure["largest_loss_difference"]
            equal = "bit for bit" if figure["losses_bit_equal"] and figure["weights_bit_equal"] else "not bit for bit"
            lines.append(f"    {name}: {equal}, losses within {'?' if apart is None else f'{apart:.2g}'}")
    return "\n".join(lines)


def _shared(row: Row) -> str:
    way = "MPS" if row["mps"] else "no MPS"
    return (
        f"  {way:6} batch {row['batch_size']:>4}, {row['num_processes']} at once: "
        f"{rate(row['images_per_second'])} images/s in total"
    )


def _memory(row: Row) -> str:
    used = row["device_used_bytes"]
    return (
        f"  {'MPS' if row['mps'] else 'no MPS':6} batch {row['batch_size']:>4}, memory: "
        f"{row['reserved_bytes_per_process'] / MEGABYTE:,.0f} MB reserved a process"
        + (f", {used / row['num_processes'] / MEGABYTE:,.0f} MB a process on the device" if used is not None else "")
    )


def _product(row: Row) -> str:
    return f"  matrix product {row['format']} {row['size']}: {row['tflops']:,.3g} TFLOP/s"


def _copy(row: Row) -> str:
    return f"  copying: {row['gigabytes_per_second']:,.0f} GB/s read and written"


def _demand(row: Row) -> str:
    return (
        f"  an image of {row['model']} in training: {row['flops_per_image'] / 1e6:.0f} MFLOP, "
        f"{row['bytes_per_image_unfused_fp32'] / MEGABYTE:.1f} MB in fp32 kernels of one operator each"
    )


def conclusions(found: Row) -> str:
    """Shares of the limits, gains of sharing, hours of the published tables."""
    lines = ["conclusions:"]
    for row in found["shares_of_limits"]:
        lines.append(
            f"  batch {row['batch_size']:>4} {row['way']:8} "
            f"{100 * row['share_of_matrix_product_peak']:5.1f} % of the matrix-product peak, "
            f"{100 * row['share_of_copy_bandwidth_if_unfused']:5.1f} % of copying if unfused"
        )
    for row in found["sharing_speed_ups"]:
        lines.append(
            f"  batch {row['batch_size']:>4}, {row['num_processes']} at once, {'MPS' if row['mps'] else 'no MPS':6}: "
            f"x {row['speed_up']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) of one alone"
        )
    if hours := found.get("published_tables"):
        for name in ("hours", "hours_fp32", "hours_sharing", "hours_fp32_sharing", "published_hours"):
            if hours[name] is not None:
                lines.append(f"  published tables, {name.replace('_', ' ')}: {hours[name]:,.1f}")
        lines += [f"  without {count} of {model}: no rate" for model, count in hours["left_out"].items()]
    return "\n".join(lines)


_FORMS = {
    ("speed", "cells"): _comparison,
    ("precision", "cells"): _comparison,
    ("correctness", "cells"): _course,
    ("sharing", "cells"): _shared,
    ("sharing", "memory"): _memory,
    ("limits", "matrix_products"): _product,
    ("limits", "copies"): _copy,
    ("limits", "demand"): _demand,
}
