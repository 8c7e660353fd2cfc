"""What changed on a page since a version of it: only trials that changed are sent again."""

import json
import threading
import uuid
from collections.abc import Sequence
from typing import Any

WHOLE = ("key", "cell")
"""Columns of `trials` that are always sent whole: the order of the trials, and what follows from it."""
NOT_OF_TRIALS = ("metrics", "rule")
"""Parts of `curves` that have no entry for each trial."""
Data = dict[str, Any]


class Changes:
    """The data of a page in its newest version, and for each trial the version in which it changed last.

    An answer is made once for all pages that had the same version before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run = uuid.uuid4().hex[:8]
        self._number = 0
        self._whole_at = 0
        """Number of the version from which on `since` may send less than everything."""
        self._shape = ""
        self._changed_at: dict[str, tuple[int, int]] = {}
        """Trial key -> hash of the trial's data, and the number of the version that brought it."""
        self._html: str | None = None
        self._data: Data | None = None
        self._answers: dict[str, bytes] = {}

    def update(self, html: str, data: Data | None) -> None:
        """Take the present state; it is a new version if anything has changed.

        Args:
            html: what is said in words, sent whole.
            data: what `page_data` returns; None if nothing has begun. Data that is the same object has not changed.
        """
        with self._lock:
            if html == self._html and data is self._data:
                return
            number = self._number + 1
            if data is not self._data and data is not None:
                self._take(data, number)
            self._html, self._data, self._number = html, data, number
            self._answers.clear()

    def since(self, version: str) -> bytes | None:
        """Return what changed since a version, as JSON; None if nothing did. Of an unknown version all is sent."""
        with self._lock:
            run, _, digits = version.partition("-")
            is_known = run == self._run and digits.isdecimal() and len(digits) < 20
            known = int(digits) if is_known else 0
            if known >= self._number:
                return None
            if known < self._whole_at:
                known = 0
            answer = self._answers.get(str(known))
            if answer is None:
                answer = self._answers[str(known)] = _json(self._answer(known)).encode()
            return answer

    def _take(self, data: Data, number: int) -> None:
        shape = _json([data["fields"], data["curves"]["metrics"], sorted(data["trials"]), data["curves"]["rule"]])
        if shape != self._shape:
            self._whole_at, self._shape = number, shape
        changed: dict[str, tuple[int, int]] = {}
        for index, key in enumerate(data["trials"]["key"]):
            digest = hash(_json(_part(data, [index])))
            digest_before, number_before = self._changed_at.get(key, (None, 0))
            changed[key] = (digest, number_before if digest == digest_before else number)
        if self._changed_at.keys() - changed.keys():
            self._whole_at = number
        self._changed_at = changed

    def _answer(self, known: int) -> Data:
        answer: Data = {"live": {"version": f"{self._run}-{self._number}", "html": self._html}}
        if self._data is None:
            return answer
        if not known:
            return answer | {"page": self._data}
        keys = self._data["trials"]["key"]
        changed = [index for index, key in enumerate(keys) if self._changed_at[key][1] > known]
        if not changed:
            return answer
        trials = {name: self._data["trials"][name] for name in WHOLE if name in self._data["trials"]}
        part = _part(self._data, changed)
        part["trials"] |= trials
        rest = {name: value for name, value in self._data.items() if name not in part}
        return answer | {"page": rest | part | {"only": changed}}


def _part(data: Data, indices: Sequence[int]) -> Data:
    """Return the parts of the data that have an entry for each trial, for these trials only."""
    trials, curves = data["trials"], data["curves"]
    return {
        "trials": {name: [values[i] for i in indices] for name, values in trials.items() if name not in WHOLE},
        "curves": {
            name: values if name in NOT_OF_TRIALS else [values[i] for i in indices] for name, values in curves.items()
        },
        "details": [data["details"][i] for i in indices],
    }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
