"""Interleaved rounds, and what is told of several rounds."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import harness
from benchmarks.harness import bf16_by, busy_cores, interleaved, print_figures, ratios, summary


def test_everything_is_measured_once_a_round_in_turn() -> None:
    calls: list[str] = []

    def measure(name: str) -> int:
        calls.append(name)
        return len(calls)

    answers = interleaved(3, {name: lambda name=name: measure(name) for name in "AB"})  # type: ignore[misc]
    assert calls == list("ABABAB")
    assert answers == {"A": [1, 3, 5], "B": [2, 4, 6]}


def test_ratios_are_those_of_the_same_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_a_summary_keeps_every_round() -> None:
    assert summary([1.0, 3.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "rounds": [1.0, 3.0, 2.0]}
    assert summary([3.0, 1.0, 2.0, 10.0])["median"] == 2.5


def test_a_table_is_aligned_and_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    spread = summary([1.0, 3.0, 2.0])
    rows: dict[str, dict[str, Any]] = {"x" * 100: {"a": 1.2345, "spread": spread}}
    rows["y"] = {"a": 1234.5, "spread": None}
    print_figures("title", rows)
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "title"
    assert [line.split()[-1] for line in lines] == ["spread", "3)", "-"]
    assert lines[1].split()[1:] == ["1.23", "2", "(1", "to", "3)"]
    assert lines[2].split()[1] == "1,234"
    assert {len(line) for line in lines} == {100 + 2 + 5 + 2 + len("2 (1 to 3)")}


def test_busy_cores_are_counted() -> None:
    assert 0 <= busy_cores(0.05) < 1000


@pytest.mark.parametrize(
    ("flags", "limit", "told"),
    [
        ("avx2 avx512f", None, "none"),
        ("avx512f avx512_bf16", None, "AVX-512"),
        ("avx512_bf16 amx_bf16 amx_tile", None, "AMX"),
        ("avx512_bf16 amx_bf16", "AVX512_CORE", "AMX, limited to AVX512_CORE"),
    ],
)
def test_by_what_a_processor_multiplies_in_bf16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, limit: str | None, told: str
) -> None:
    monkeypatch.setattr(harness, "CPU_INFO", tmp_path / "cpuinfo")
    harness.CPU_INFO.write_text(f"model name\t: A\nflags\t\t: fpu {flags} vme\nbugs\t\t: b\n\nmodel name\t: A\n")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert bf16_by() == told
