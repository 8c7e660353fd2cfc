"""Population based training (Jaderberg et al. 2017, arXiv:1711.09846), a generation at a time.

A member of a generation is a trial of its own: it begins at the last weights and momentum of a member of the
generation before, its parent, and trains for a trial's epochs. The first generation is proposed like the trials of
any search. Then the worst go on from one of the best each (truncation selection), with that one's parameters
perturbed or drawn anew; all others go on from themselves, unchanged.

Who goes on from whom and with what is a pure function of the settings, the seed and the results of the generation
before: neither the number of workers nor the order in which they end plays a part.
"""

import random
from collections.abc import Sequence
from typing import Any

from results.store.search_log import Params, ProposalRecord, all_finite
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Scalar, SchedulerSpec
from sweep.search.study import Active
from trainable.records import Status


class Population:
    """Its members, as the proposals of a search: proposal n is member n % size of generation n // size."""

    def __init__(self, spec: SchedulerSpec, parameters: Sequence[SearchParameter], active: Active, seed: int) -> None:
        """
        Args:
            active: whether a parameter is proposed, given those before it.
        """
        self.size = spec.population
        self._spec = spec
        self._parameters = list(parameters)
        self._active = active
        self._seed = seed

    def is_waiting(self, proposals: Sequence[ProposalRecord]) -> bool:
        """Whether the next proposal needs results that are not there yet."""
        return any(one.status is None for one in self._before(proposals))

    def has_died_out(self, proposals: Sequence[ProposalRecord]) -> bool:
        """Whether nobody is left to go on from."""
        before = self._before(proposals)
        return bool(before) and not self.is_waiting(proposals) and all(_error(one) is None for one in before)

    def generation(self, proposals: Sequence[ProposalRecord]) -> int:
        """Number of the first proposal of the latest generation."""
        return max(0, len(proposals) - 1) // self.size * self.size

    def member(self, proposals: Sequence[ProposalRecord]) -> tuple[Params, str]:
        """The next proposal, of a generation after the first: its parameters, and the key of its parent.

        Nobody may be waited for.
        """
        number = len(proposals)
        before = self._before(proposals)
        ranked = sorted((error, one.number, one) for one in before if (error := _error(one)) is not None)
        alive = [one for _, _, one in ranked]
        num_replaced = max(1, int(self.size * self._spec.quantile))
        num_dead = self.size - len(alive)
        going_on = {one.number for one in alive[: len(alive) - max(0, num_replaced - num_dead)]}
        own = before[number % self.size]
        if own.number in going_on:
            return own.params, _key(own)
        dice = random.Random(f"{self._seed} {number}")  # noqa: S311 (no secret)
        donor = dice.choice(alive[:num_replaced])
        return self._explored(donor.params, dice), _key(donor)

    def _before(self, proposals: Sequence[ProposalRecord]) -> Sequence[ProposalRecord]:
        """The generation before that of the next proposal; empty where there is none."""
        start = len(proposals) // self.size * self.size
        return proposals[max(0, start - self.size) : start]

    def _explored(self, params: Params, dice: random.Random) -> Params:
        chosen: dict[str, Any] = {}
        for one in self._parameters:
            if not self._active(chosen, one.name):
                continue
            draws_anew = dice.random() < self._spec.resample_probability
            if one.name not in params or draws_anew:
                chosen[one.name] = one.draw(dice)
            else:
                chosen[one.name] = self._perturbed(one, params[one.name], dice)
        return chosen

    def _perturbed(self, one: SearchParameter, value: Any, dice: random.Random) -> Scalar:  # noqa: ANN401
        """A number times a factor, by a step at least, inside its range; of choices that are numbers the next one."""
        factor = dice.choice(self._spec.perturb)
        if one.choices is None:
            moved = value * factor
            if one.step is not None and 0 < abs(moved - value) < one.step:
                moved = value + (one.step if factor > 1 else -one.step)
            return one.snap(moved)
        if not all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in one.choices):
            return one.choices[one.choices.index(value)]
        ordered = sorted(one.choices, key=lambda choice: float(choice or 0))
        position = ordered.index(value) + (factor > 1) - (factor < 1)
        return ordered[min(max(position, 0), len(ordered) - 1)]


def _error(one: ProposalRecord) -> float | None:
    """What members are compared by; None where there is no state to go on from: it failed, or diverged."""
    values = all_finite(one.values)
    return values[0] if one.status is Status.COMPLETE and values is not None else None


def _key(one: ProposalRecord) -> str:
    if one.config is None:
        raise ValueError(f"proposal {one.number} was never trained")
    return one.config.trial_key
