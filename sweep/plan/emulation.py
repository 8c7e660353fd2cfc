"""Trials whose number format this machine's CPU has to emulate. Does not import torch."""

from collections.abc import Sequence
from pathlib import Path

from search_spaces.resources import ResourceRule
from sweep.driver.capacity import Node
from trainable.config import PlannedTrial
from trainable.wording import counted

CPU_INFO = Path("/proc/cpuinfo")
NATIVE = {
    "bf16": {"avx512bw", "avx_ne_convert"},
    "fp16": {"avx512_fp16", "amx_fp16", "avx_ne_convert"},
    "pure_fp16": {"avx512_fp16", "amx_fp16", "avx_ne_convert"},
}
"""Format -> features of x86 processors, by Linux's names, one of which it takes to be fast."""


def emulation_notes(trials: Sequence[PlannedTrial], rule: ResourceRule, node: Node) -> list[str]:
    """Return a sentence for each format that trials would train in on this machine's CPU without its support.

    Nothing is said of other kinds of processors, nor of `precision: auto`, which chooses a fast format.
    """
    used = {trial.config.precision for trial in trials if trial.config.precision in NATIVE}
    flags = _x86_flags() if used else set()
    notes = []
    for name in sorted(used) if flags else []:
        slow = [trial for trial in trials if trial.config.precision == name and not _gpus(trial, rule, node)]
        if slow and not flags & NATIVE[name]:
            are = counted(len(slow), "trial is", "trials are")
            slower = f"{are} in {name}, which this CPU emulates, many times slower than fp32"
            notes.append(f"{slower}: give `precision: fp32` or `auto`, or use a GPU")
    return notes


def _gpus(trial: PlannedTrial, rule: ResourceRule, node: Node) -> float:
    return rule.share(trial, 1.0 if node.gpus else 0.0).gpus


def _x86_flags() -> set[str]:
    """Return the features of this machine's x86 processor; none if it is another one, or unknown."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
