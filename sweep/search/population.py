"""Population based training (Jaderberg et al. 2017, arXiv:1711.09846), one generation after the other.

Each member of a generation is a trial of its own. It starts from the last weights and momentum of a member of the
generation before, its parent, and trains for the epochs of one trial. The first generation is proposed like the
trials of any search. After that, each of the worst members continues from one of the best (truncation selection),
with that member's parameters perturbed or drawn again; all others continue from themselves, unchanged.

Parents and parameters are a pure function of the settings, the seed and the results of the generation before. Neither
the number of workers nor the order in which members end plays a part.
"""

import random
from collections.abc import Sequence
from typing import Any

from results.store.search_log import Params, ProposalRecord, all_finite
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Scalar, SchedulerSpec
from sweep.search.settings import IsActive
from sweep.search.state import config_of
from trainable.records import Status


class Population:
    """Proposes the members of a population: proposal n is member n % size of generation n // size."""

    def __init__(
        self, spec: SchedulerSpec, parameters: Sequence[SearchParameter], is_active: IsActive, seed: int
    ) -> None:
        self.size = spec.population
        self._spec = spec
        self._parameters = list(parameters)
        self._is_active = is_active
        self._seed = seed

    def is_waiting(self, proposals: Sequence[ProposalRecord]) -> bool:
        """Return whether the next proposal needs results that are not there yet."""
        return any(member.status is None for member in self._before(proposals))

    def has_died_out(self, proposals: Sequence[ProposalRecord]) -> bool:
        """Return whether no member is left to continue from."""
        before = self._before(proposals)
        return bool(before) and not self.is_waiting(proposals) and all(_error(member) is None for member in before)

    def latest_generation(self, proposals: Sequence[ProposalRecord]) -> int:
        """Return the number of the first proposal of the latest generation."""
        return max(0, len(proposals) - 1) // self.size * self.size

    def next_member(self, proposals: Sequence[ProposalRecord]) -> tuple[Params, str]:
        """Return the parameters of the next member, and the key of its parent.

        The population must have a whole generation already, and must not be waiting for one.
        """
        number = len(proposals)
        before = self._before(proposals)
        ranked = sorted((error, member.number, member) for member in before if (error := _error(member)) is not None)
        alive = [member for _, _, member in ranked]
        num_replaced = max(1, int(self.size * self._spec.quantile))
        num_dead = self.size - len(alive)
        kept = {member.number for member in alive[: len(alive) - max(0, num_replaced - num_dead)]}
        own = before[number % self.size]
        if own.number in kept:
            return own.params, config_of(own).trial_key
        rng = random.Random(f"{self._seed} {number}")  # noqa: S311 (no secret)
        donor = rng.choice(alive[:num_replaced])
        return self._explored(donor.params, rng), config_of(donor).trial_key

    def _before(self, proposals: Sequence[ProposalRecord]) -> Sequence[ProposalRecord]:
        """Return the generation before that of the next proposal; it may be empty."""
        start = len(proposals) // self.size * self.size
        return proposals[max(0, start - self.size) : start]

    def _explored(self, params: Params, rng: random.Random) -> Params:
        chosen: dict[str, Any] = {}
        for parameter in self._parameters:
            name = parameter.name
            if not self._is_active(chosen, name):
                continue
            is_resampled = rng.random() < self._spec.resample_probability
            if name not in params or is_resampled:
                chosen[name] = parameter.draw(rng)
            else:
                chosen[name] = self._perturbed(parameter, params[name], rng)
        return chosen

    def _perturbed(self, parameter: SearchParameter, value: Any, rng: random.Random) -> Scalar:  # noqa: ANN401
        """Multiply a number by a factor, and move it by a step at least; it stays inside its range.

        Without a step, a number that is closer to 0 than a hundredth of its range moves by that hundredth, because a
        factor would leave it at 0. A choice among numbers moves to the next one; other choices stay.
        """
        factor = rng.choice(self._spec.perturb)
        choices, step = parameter.choices, parameter.step
        if choices is None:
            moved, least = value * factor, step or 0.0
            if step is None and parameter.low <= 0 <= parameter.high:
                hundredth = (parameter.high - parameter.low) / 100
                least = hundredth if abs(value) < hundredth else 0.0
            if factor != 1 and abs(moved - value) < least:
                moved = value + (least if factor > 1 else -least)
            return parameter.snap(moved)
        if not all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices):
            return choices[choices.index(value)]
        ordered = sorted(choices, key=lambda choice: float(choice or 0))
        position = ordered.index(value) + (factor > 1) - (factor < 1)
        return ordered[min(max(position, 0), len(ordered) - 1)]


def _error(member: ProposalRecord) -> float | None:
    """Return the value by which members are compared; None where a member failed or diverged."""
    values = all_finite(member.values)
    return values[0] if member.status is Status.COMPLETE and values is not None else None
