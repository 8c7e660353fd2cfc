"""The device's state and the peak of its memory."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainable.device import device_name, peak_memory_bytes, prepare_device, reset_peak_memory
from trainable.gpu_share import memory_fraction

CPU = torch.device("cpu")
BIG = 200 * 2**20


def test_prepare_device_sets_threads_and_determinism() -> None:
    torch.set_num_threads(2)
    torch.backends.cudnn.benchmark = True
    try:
        assert prepare_device(1, use_gpu=False) == CPU
        assert torch.get_num_threads() == 1
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.set_num_threads(1)


def test_gpu_gets_a_workspace_that_is_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert prepare_device(1, use_gpu=True) == torch.device("cuda", 0)
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"


def test_a_share_of_a_gpu_limits_what_its_process_may_allocate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls alone: without a GPU nothing is allocated."""
    asked: list[tuple[float, int]] = []
    properties = SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: asked.append(given))
    prepare_device(1, use_gpu=True)
    assert asked == []
    prepare_device(1, use_gpu=True, gpus=0.25)
    assert asked == [(0.242, 0)]
    assert memory_fraction(0.25, properties.total_memory) == 0.242


def test_compiled_code_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not in /tmp/torchinductor_NAME, which another user can make first."""
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    prepare_device(1, use_gpu=False)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache" / "compiled")
    assert (tmp_path / "cache" / "compiled").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    prepare_device(1, use_gpu=False)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


def test_a_cache_that_cannot_be_written_stops_no_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "file"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    assert prepare_device(1, use_gpu=False) == CPU


def test_processor_has_a_name() -> None:
    assert device_name(CPU).strip()


def test_peak_memory_sees_what_was_freed_and_can_be_reset() -> None:
    block = np.ones(BIG, dtype=np.uint8)
    del block
    before = peak_memory_bytes(CPU)
    reset_peak_memory(CPU)
    after = peak_memory_bytes(CPU)
    assert before is not None
    assert after is not None
    assert after < before - BIG // 2
    block = np.ones(BIG, dtype=np.uint8)
    again = peak_memory_bytes(CPU)
    assert block[-1] == 1
    assert again is not None
    assert again > after + BIG // 2
