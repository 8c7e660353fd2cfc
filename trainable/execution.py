"""How a training is carried out, without a change of what it computes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Execution:
    """Ways to make the same training faster, taken where the device can."""

    graph: bool = True
    """Capture the whole step in a CUDA graph; without effect on a processor."""
    compile: bool = False
    """Let torch.compile fuse the model's kernels."""
