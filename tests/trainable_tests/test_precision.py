"""Which number format a device gets."""

from typing import Any

import pytest
import torch

from trainable.errors import UserError
from trainable.precision import resolve_precision

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce GTX 1080 Ti")


@pytest.mark.parametrize(
    ("capability", "name"),
    [((6, 1), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16"), ((12, 0), "bf16")],
)
def test_auto_on_a_gpu_follows_its_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str
) -> None:
    pretend_gpu(monkeypatch, capability)
    assert resolve_precision("auto", CUDA).name == name


def test_bf16_is_refused_where_the_gpu_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, (7, 5))
    with pytest.raises(UserError, match="GeForce GTX 1080 Ti has no bf16: use precision fp16 or fp32"):
        resolve_precision("bf16", CUDA)


@pytest.mark.parametrize(("native", "name"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_processor(monkeypatch: pytest.MonkeyPatch, native: bool, name: str) -> None:
    monkeypatch.setattr("trainable.precision._has_native_bf16", lambda device: native)
    assert resolve_precision("auto", CPU).name == name


def test_auto_is_never_left_unresolved_here() -> None:
    assert resolve_precision("auto", CPU).name in ("bf16", "fp32")


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize(
    ("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)]
)
def test_what_is_asked_for_is_given(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, name: str, dtype: torch.dtype
) -> None:
    pretend_gpu(monkeypatch, (8, 0))
    precision = resolve_precision(name, device)
    assert (precision.name, precision.dtype) == (name, dtype)
    assert precision.needs_scaler == (name == "fp16")


def test_tf32_is_for_gpus_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, (8, 0))
    assert resolve_precision("tf32", CUDA).dtype == torch.float32
    pretend_gpu(monkeypatch, (7, 5))
    with pytest.raises(UserError, match="has no tf32: use precision fp16 or fp32"):
        resolve_precision("tf32", CUDA)
    with pytest.raises(UserError, match="use precision bf16 or fp32 on a CPU"):
        resolve_precision("tf32", CPU)


@pytest.mark.parametrize(("name", "fmt"), [("tf32", "tf32"), ("fp32", "ieee"), ("bf16", "ieee")])
def test_products_round_to_tf32_only_where_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: str, fmt: str
) -> None:
    pretend_gpu(monkeypatch, (8, 0))
    try:
        for first in ("tf32", "fp32"):  # an actor trains in one format after another
            resolve_precision(first, CUDA).apply()
            resolve_precision(name, CUDA).apply()
            cudnn: Any = torch.backends.cudnn
            for products in (torch.backends.cuda.matmul, cudnn, cudnn.conv, cudnn.rnn):
                assert products.fp32_precision == fmt
            # inductor reads these, and torch refuses to tell them if they differ from those above
            assert torch.backends.cuda.matmul.allow_tf32 == (fmt == "tf32")
            assert cudnn.allow_tf32 == (fmt == "tf32")
            assert torch.get_float32_matmul_precision() == ("high" if fmt == "tf32" else "highest")
            assert torch.backends.mkldnn.matmul.fp32_precision == "none"  # type: ignore[attr-defined]
    finally:
        resolve_precision("fp32", CPU).apply()
