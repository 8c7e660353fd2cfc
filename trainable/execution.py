"""How a training is carried out. It decides the speed, and at most the last bits: it is no part of a trial's key."""

from dataclasses import dataclass

COMPILE_NEEDS_GPU = "--compile: torch.compile gains nothing on a processor, leave it out"


@dataclass(frozen=True, slots=True)
class Execution:
    """What is wished for; a device does what it can."""

    graph: bool = True
    """Record the training step as a CUDA graph and replay it (GPU only)."""
    compile: bool = False
    """Compile the model with `torch.compile` (GPU only: on a processor it gains nothing)."""

    def on(self, device_type: str) -> "Execution":
        """What of it such a device ('cuda', 'cpu') can do."""
        return self if device_type == "cuda" else Execution(graph=False, compile=False)

    def __str__(self) -> str:
        parts = ["compiled"] * self.compile + ["graph" if self.graph else "eager"]
        return " ".join(parts)


DEFAULT_EXECUTION = Execution()
