"""The only import of torchvision, with a workaround for builds whose C++ operators do not load."""

import sys
from types import ModuleType
from typing import Any

_KEEP_ALIVE: list[Any] = []


def import_torchvision() -> ModuleType:
    """Import torchvision, even if its build does not match torch's (CUDA and CPU).

    Such a pair fails with 'operator torchvision::nms does not exist', because torchvision registers shape functions
    for operators that its library did not define. Declaring their schemas first avoids the failure; the operators
    themselves are not used here.

    Raises:
        ImportError, RuntimeError: torchvision is missing, or broken in another way.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        import torch

        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEEP_ALIVE.append(library)
        import torchvision
    module: ModuleType = torchvision
    return module
