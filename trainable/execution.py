"""How a training is executed. This decides its speed and at most the last bits: it is not part of a trial's key."""

import dataclasses
from dataclasses import dataclass

from trainable.wording import counted

COMPILE_NEEDS_GPU = "--compile: torch.compile gains nothing on a CPU, leave it out"


@dataclass(frozen=True, slots=True)
class Execution:
    """How to run the training steps, if the device can do so."""

    graph: bool = True
    """Record the training step as a CUDA graph and replay it (GPU only)."""
    compile: bool = False
    """Compile the model with `torch.compile` (GPU only; it gains nothing on a CPU)."""
    autocast: str | None = None
    """Layer or operation of an own model for which it computes under torch.autocast with fp32 weights; None if the
    weights are rounded once per step."""
    fused: bool = False
    """Compute batch normalisation and ReLU by our kernel (CPU, built-in models, bf16 and fp32 only)."""
    streams: bool = False
    """Train beside other trials in one process, each on a CUDA stream of its own."""

    def on(self, device_type: str) -> "Execution":
        """Return what a device of this type ('cuda' or 'cpu') can do of it."""
        if device_type == "cuda":
            return dataclasses.replace(self, fused=False)
        return Execution(graph=False, fused=self.fused, streams=self.streams)

    @classmethod
    def parse(cls, text: str) -> "Execution":
        """Read how a training was executed, without the layer that was computed under autocast."""
        words = text.partition("autocast")[0].split()
        return cls(
            graph="graph" in words, compile="compiled" in words, fused="fused" in words, streams="streams" in words
        )

    def __str__(self) -> str:
        parts = ["compiled"] * self.compile + ["fused"] * self.fused + ["graph" if self.graph else "eager"]
        parts += ["streams"] * self.streams
        return " ".join([*parts, *([] if self.autocast is None else [f"autocast ({self.autocast})"])])


DEFAULT_EXECUTION = Execution()


@dataclass(frozen=True, slots=True)
class Share:
    """The resources of a trial."""

    cpus: float = 1.0
    """Number of CPUs."""
    gpus: float = 0.0
    """Number of GPUs, below 1 for a share of one. A trial uses only the first of several."""
    streams: bool = False
    """Whether the trials of a GPU train in one process, on CUDA streams, and not each in its own."""

    @property
    def num_threads(self) -> int:
        """Number of CPU threads for torch."""
        return max(1, int(self.cpus))

    def __str__(self) -> str:
        cpus = counted(self.cpus, "CPU")
        return f"{cpus} and {counted(self.gpus, 'GPU')}" if self.gpus else cpus
