"""Measured speeds, and the devices on which they were measured."""

from dataclasses import dataclass

from trainable.provenance import gpu_names, processor_name
from trainable.wording import counted


class NoHistoryError(Exception):
    """No measurement tells how fast this work is; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """The device and settings with which trials run; only speeds with equal profiles are compared."""

    device: str
    """Name that the device gives itself."""
    num_threads: int
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.device}, {counted(self.num_threads, 'thread')}" + ", compiled" * self.compiled


def device_profile_here(num_threads: int, *, use_gpu: bool, compiled: bool = False) -> DeviceProfile:
    """Describe this machine as the trials that run on it record it."""
    gpus = gpu_names() if use_gpu else []
    return DeviceProfile(gpus[0] if gpus else processor_name(), num_threads, compiled)


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed that one process measured in one training."""

    profile: DeviceProfile
    model: str
    batch_size: int
    precision: str
    """Precision that was asked for, for example auto."""
    precision_resolved: str
    """Precision in which the device computed."""
    run: str
    """Id of the driver's run: speeds of one run share what else the machine was doing. Empty for a probe."""
    train_seconds_per_image: float
    eval_seconds_per_image: float
    peak_memory_bytes: int | None = None
    fused: bool = False
    """Whether the fused CPU kernel computed."""

    @property
    def is_probe(self) -> bool:
        return not self.run


@dataclass(frozen=True, slots=True)
class RunOverhead:
    """The time that one run of the driver took beside the epochs of its trials."""

    start_up_seconds: float
    """Seconds until the first epoch began."""
    seconds_per_trial: float
    """Seconds that each trial took beside its epochs."""
