"""Section 'profiler' of `benchmarks/gpu.py`: how many kernels a step takes, and how busy they keep the device."""

import json
import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_process import Bench, Case, Row, Work
from benchmarks.gpu_speed import PEER, WAYS, peer_loop
from benchmarks.trial_process import run_epoch
from trainable.engine import EvalMetrics

KINDS = {True: ("kernel", "gpu_memcpy", "gpu_memset"), False: ("cpu_op",)}
"""Whether the device is a GPU -> categories of the profiler's events that are its work."""
NUM_LONGEST = 10

Span = tuple[str, float, float]
"""Name of a kernel, and when it began and ended in microseconds."""


def profile_cases(works: Sequence[Work], use_gpu: bool) -> list[Case]:
    """List what is profiled, the compiled training last."""
    ways = ["graph", "eager", PEER, *(["compiled"] if use_gpu else [])]
    return [
        Case({"batch_size": work.batch_size, "way": way}, profiled, (work, way), 40.0)
        for way in ways
        for work in works
    ]


def profiled(bench: Bench, work: Work, way: str) -> Row:
    """Profile the training half of an epoch."""
    num_steps = bench.num_steps(work)
    nothing = EvalMetrics(0.0, 0.0, torch.zeros(1, dtype=torch.bool))
    bench.release()
    train: Callable[[], object]
    if way == PEER:
        train = partial(peer_loop(bench, work).train_epoch, num_steps)
    else:
        train = partial(run_epoch, bench.training(work, WAYS[way]))
    with mock.patch("trainable.training.evaluate", return_value=nothing), tempfile.TemporaryDirectory() as folder:
        train()
        path = Path(folder) / "trace.json"
        with profile(activities=[ProfilerActivity.CUDA if bench.is_gpu else ProfilerActivity.CPU]) as profiler:
            train()
            if bench.is_gpu:
                torch.cuda.synchronize(bench.device)
        profiler.export_chrome_trace(str(path))
        spans = spans_of(json.loads(path.read_text()), KINDS[bench.is_gpu])
    return {"num_steps": num_steps} | summarize(spans, num_steps)


def spans_of(trace: dict[str, Any], kinds: Iterable[str]) -> list[Span]:
    """Return the events of these categories in a trace of torch's profiler."""
    chosen = set(kinds)
    return [
        (event["name"], float(event["ts"]), float(event["ts"]) + float(event.get("dur", 0.0)))
        for event in trace["traceEvents"]
        if event.get("cat") in chosen and "ts" in event
    ]


def summarize(spans: Sequence[Span], num_steps: int) -> Row:
    """Count kernels, and add up the times with and without any, from the first to the last."""
    if not spans:
        raise RuntimeError("the profiler saw no kernels")
    ordered = sorted(spans, key=lambda span: span[1])
    busy, gaps, ended = 0.0, [], ordered[0][1]
    for _, start, end in ordered:
        if start > ended:
            gaps.append(start - ended)
        busy += max(0.0, end - max(start, ended))
        ended = max(ended, end)
    wall = ended - ordered[0][1]
    seconds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for name, start, end in ordered:
        seconds[name] += end - start  # type: ignore[assignment] # Counter is typed for whole numbers
        counts[name] += 1
    return {
        "kernels_per_step": len(spans) / num_steps,
        "busy_us_per_step": busy / num_steps,
        "wall_us_per_step": wall / num_steps,
        "busy_share": busy / wall if wall else math.nan,
        "gaps_per_step": len(gaps) / num_steps,
        "median_gap_us": statistics.median(gaps) if gaps else 0.0,
        "longest_gap_us": max(gaps, default=0.0),
        "longest_kernels": [
            {"name": name, "us_per_step": value / num_steps, "per_step": counts[name] / num_steps}
            for name, value in seconds.most_common(NUM_LONGEST)
        ],
    }
