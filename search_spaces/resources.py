"""The CPUs and GPUs that a space or the command line gives to each trial."""

from collections.abc import Mapping
from typing import Any

from search_spaces.expressions import Expression, operands_of
from search_spaces.loader import LoadedSpace
from search_spaces.schema import AUTO, ResourceSpec
from trainable.config import FIELD_NAMES, PlannedTrial, TrainConfig
from trainable.errors import UserError, located
from trainable.execution import Share
from trainable.gpu_share import Case, Sharing, share_for
from trainable.wording import nearest

DEFAULT_CPUS = 1.0
SECTION = "resources"
OPTIONS = {"cpus": "--cpus-per-trial", "gpus": "--gpus-per-trial"}


class ResourceRule:
    """The `resources` of a space; options of the command line take precedence."""

    def __init__(
        self,
        loaded: LoadedSpace | None = None,
        cpus: float | None = None,
        gpus: float | str | None = None,
    ) -> None:
        """Read the rule; expressions are parsed here.

        Args:
            loaded: the space, or None if there is none.
            cpus: value of --cpus-per-trial; it replaces the value in the space.
            gpus: value of --gpus-per-trial, a number or AUTO; it replaces the value in the space.

        Raises:
            UserError: An expression is not valid.
        """
        spec = (loaded.space.resources if loaded else None) or ResourceSpec()
        self._loaded = loaded
        self._from_options = {key for key, given in (("cpus", cpus), ("gpus", gpus)) if given is not None}
        self.is_declared = spec != ResourceSpec() or bool(self._from_options)
        """Whether the space or the command line says anything about resources."""
        self._cpus = self._parse("cpus", spec.cpus if cpus is None else cpus)
        gpus = spec.gpus if gpus is None else gpus
        self.is_auto = gpus == AUTO
        """Whether the share of a GPU must be measured."""
        self._gpus = None if self.is_auto else self._parse("gpus", gpus)

    def share(
        self, trial: PlannedTrial, default_gpus: float, measured: Mapping[Case, Sharing] | None = None
    ) -> Share:
        """The CPUs and GPUs for this trial.

        Args:
            default_gpus: GPUs of a trial if neither the space nor the command line says anything.
            measured: how each case shares a GPU, for `gpus: auto`.

        Raises:
            UserError: An expression cannot be computed, or a number is impossible.
        """
        cpus = self._value("cpus", self._cpus, trial)
        if cpus is not None and cpus <= 0:
            raise UserError(f"{self.location('cpus')}: must be greater than 0, got {cpus:g}{for_trial(trial)}")
        gpus = self._value("gpus", self._gpus, trial)
        if gpus is not None and (gpus < 0 or (gpus > 1 and not float(gpus).is_integer())):
            what = "must be a fraction below 1 or a whole number"
            raise UserError(f"{self.location('gpus')}: {what}, got {gpus:g}{for_trial(trial)}")
        sharing = share_for(case_of(trial.config), measured) if gpus is None and measured else Sharing(default_gpus)
        gpus = sharing.gpus if gpus is None else float(gpus)
        return Share(DEFAULT_CPUS if cpus is None else float(cpus), gpus, sharing.streams)

    def location(self, key: str) -> str:
        """Where the value of this key comes from: `file:line: resources.key`, or the name of the option."""
        if key in self._from_options:
            return OPTIONS[key]
        path = (SECTION, key)
        is_written = self._loaded is not None and path in self._loaded.source.lines
        return self._loaded.source.where(path) if self._loaded and is_written else OPTIONS[key]

    def _parse(self, key: str, given: float | str | None) -> Expression | float | None:
        if not isinstance(given, str):
            return given
        with located(self.location(key)):
            return Expression(given)

    def _value(self, key: str, rule: Expression | float | None, trial: PlannedTrial) -> float | None:
        if not isinstance(rule, Expression):
            return rule
        fields: dict[str, Any] = {name: getattr(trial.config, name) for name in FIELD_NAMES}
        operands = operands_of({**trial.variables, **fields})
        with located(self.location(key)):
            if unknown := sorted(rule.names - operands.keys()):
                raise UserError(f"{unknown[0]!r} has no value: {nearest(unknown[0], operands)}")
            return rule.compute(operands)


def case_of(config: TrainConfig) -> Case:
    """The settings that decide how much of a GPU a training needs."""
    return config.architecture, config.batch_size, config.precision


def for_trial(trial: PlannedTrial) -> str:
    """End of a message about the resources of this trial."""
    return f" for {trial.config.model}, batch size {trial.config.batch_size}"
