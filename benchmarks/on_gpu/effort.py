"""How much is measured: in full, or just enough to see that all of it works."""

import time
from dataclasses import dataclass

MODEL = "resnet_preact_20"


@dataclass(frozen=True, slots=True)
class Effort:
    """Sizes in order of importance: where a section's time is spent, the last ones are left out."""

    batch_sizes: tuple[int, ...]
    compile_batch_sizes: tuple[int, ...]
    """Each costs a compilation; on a processor none is compiled."""
    deep_models: tuple[str, ...]
    """Further models of the published tables, measured at their batch size."""
    precision_batch_sizes: tuple[int, ...]
    steps: int
    """Of an epoch, at most: as many as the training images give."""
    deep_steps: int
    correctness_precisions: tuple[str, ...]
    correctness_batch_size: int
    correctness_steps: int
    correctness_epochs: int
    rounds: int
    num_test: int
    sharing_batch_sizes: tuple[int, ...]
    sharing_processes: tuple[int, ...]
    sharing_images: int
    """Training images of an epoch, at most; a fifth as many are evaluated, as in CIFAR-10."""
    window_seconds: float
    """For which processes train side by side."""
    matmul_sizes: tuple[int, ...]
    copy_bytes: int
    limit_seconds: float
    """Of one measurement of the device, at least."""
    num_random: tuple[int, int]
    """Images to train and to test on, where no data set is given."""
    section_seconds: dict[str, float]
    """Start-up of its processes included."""
    cell_seconds: float
    """What a comparison is expected to take at most: it is not begun with less time left."""
    compile_seconds: float
    """The same with a compilation."""


FULL = Effort(
    batch_sizes=(128, 8, 512, 32, 2048, 4096),
    compile_batch_sizes=(128, 8, 512),
    deep_models=("resnet_preact_110", "resnet_110"),
    precision_batch_sizes=(128, 512, 8, 2048),
    steps=400,
    deep_steps=100,
    correctness_precisions=("fp32", "bf16", "fp16"),
    correctness_batch_size=128,
    correctness_steps=100,
    correctness_epochs=4,
    rounds=5,
    num_test=10_000,
    sharing_batch_sizes=(128, 8, 32, 512),
    sharing_processes=(1, 8, 4, 2),
    sharing_images=12_800,
    window_seconds=2.5,
    matmul_sizes=(4096, 8192),
    copy_bytes=2**30,
    limit_seconds=0.5,
    num_random=(50_000, 10_000),
    section_seconds={"speed": 165, "correctness": 40, "precision": 45, "sharing": 160, "limits": 25},
    cell_seconds=8,
    compile_seconds=45,
)
QUICK = Effort(
    batch_sizes=(32, 8),
    compile_batch_sizes=(),
    deep_models=(),
    precision_batch_sizes=(8,),
    steps=1,
    deep_steps=1,
    correctness_precisions=("fp32", "bf16"),
    correctness_batch_size=8,
    correctness_steps=2,
    correctness_epochs=3,
    rounds=2,
    num_test=10,
    sharing_batch_sizes=(8,),
    sharing_processes=(1, 2),
    sharing_images=16,
    window_seconds=0.5,
    matmul_sizes=(256,),
    copy_bytes=2**24,
    limit_seconds=0.1,
    num_random=(1_000, 200),
    section_seconds=dict.fromkeys(("speed", "correctness", "precision", "sharing", "limits"), 60),
    cell_seconds=5,
    compile_seconds=30,
)


class Budget:
    """Time left until a deadline on the machine's monotonic clock, which all of its processes share."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    @property
    def left_seconds(self) -> float:
        return self.deadline - time.monotonic()

    def allows(self, seconds: float) -> bool:
        return self.left_seconds >= seconds
