"""What the user said about the machine or the cluster."""

from dataclasses import dataclass, field

from search_spaces.resources import ResourceRule
from trainable.execution import DEFAULT_EXECUTION, Execution


@dataclass(frozen=True, slots=True)
class Resources:
    """Where the trials run, and what each of them may use."""

    address: str | None = None
    """Address of a running Ray cluster; None starts Ray on this machine."""
    rule: ResourceRule = field(default_factory=ResourceRule)
    """CPUs and GPUs of each trial."""
    max_concurrent: int | None = None
    """Largest number of trials that run at the same time; None for no limit."""
    execution: Execution = DEFAULT_EXECUTION
    min_nodes: int = 1
    """Number of nodes that the cluster must have before anything starts."""

    @property
    def is_joined(self) -> bool:
        """Whether Ray is running already."""
        return self.address is not None
