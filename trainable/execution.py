"""How a training is carried out. It decides the speed, and at most the last bits: it is no part of a trial's key."""

from dataclasses import dataclass

from trainable.wording import counted

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


@dataclass(frozen=True, slots=True)
class Share:
    """What a trial is given of a machine."""

    cpus: float = 1.0
    gpus: float = 0.0
    """A fraction of one GPU, or whole GPUs, of which it uses the first."""

    @property
    def num_threads(self) -> int:
        """That it computes with."""
        return max(1, int(self.cpus))

    def __str__(self) -> str:
        cpus = counted(self.cpus, "CPU")
        return f"{cpus} and {counted(self.gpus, 'GPU')}" if self.gpus else cpus
