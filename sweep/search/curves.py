"""What a trial reached epoch by epoch, as far as a scheduler can see it. Standard library only."""

from dataclasses import dataclass

from trainable.records import Status


@dataclass(frozen=True, slots=True)
class Curve:
    """A training from its first epoch to its own end: COMPLETE or DIVERGED."""

    values: tuple[float | None, ...]
    """Of the objective after epoch 1, 2, ..., smaller is better; None where it is not finite."""
    seconds: tuple[float, ...]
    """Of each of these epochs, training and evaluation."""
    epochs: int
    """That it was to have; one that diverged has fewer values."""
    status: Status

    @property
    def end(self) -> float | None:
        """What came out of it; None where it diverged."""
        return self.values[-1] if self.status is Status.COMPLETE else None
