"""Translate the configuration of a W&B sweep into a space, and say what becomes of each key."""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeGuard

from search_spaces.schema import MAX_SIZE, Space
from search_spaces.yaml_source import KeyPath, YamlSource
from trainable.canonical import OPTIMIZERS
from trainable.config import DEFAULTS, SETTABLE_FIELDS, check_settable
from trainable.errors import FieldError, UserError
from trainable.field_checks import ARGUMENT_PREFIX, SYNONYMS
from trainable.limited_yaml import dump_yaml
from trainable.rounding import COMPUTED_DIGITS, round_significant
from trainable.sweep_name import SWEEP_NAME_PATTERN, SWEEP_NAME_RULE
from trainable.wording import nearest, quoted

METHODS = {"grid": "grid", "random": "random", "bayes": "mfgp"}
"""W&B's methods -> our algorithms."""
SHARED_KEYS = ("name", "description", "parameters")
"""Keys that a space has, too."""
LEFT_OUT = {
    "program": "the training is built in",
    "entity": "`wandb login` decides where `run --log wandb` and `export --wandb` write",
    "controller": "the driver is the controller",
    **dict.fromkeys(("job", "image_uri", "queue", "launch", "version"), "`run` starts the trials itself"),
}
"""Keys that change nothing here -> why."""
KEYS = (*SHARED_KEYS, "method", "metric", "early_terminate", "run_cap", "command", "project", *LEFT_OUT)
THEIR_KEYS = tuple(key for key in KEYS if key not in SHARED_KEYS)
ONLY_THEIRS = ("run_cap", "early_terminate")
THEIR_WORDS = {
    r"grace_epochs (\d+) is": r"the first rung, epoch \1, is",
    r"scheduler: \{type: none\}": "leave early_terminate out",
    r"give (it|them) in defaults(, or in rows of a parameter)?": r"give \1 as {value: ...}",
    "would select by luck: .*": "would select by luck: leave it out, or write method: grid",
}
"""What messages say of a space, as patterns -> the same of a W&B sweep."""
OUR_WORDS = re.compile(r"\b(defaults|confirm|derive|scheduler|objective|rows|scales)\b")
"""Sections that a W&B sweep does not have."""
UNCLEAR = ("beta2", "warmup", "weight_decay_on_bn", "data", "label")
"""Synonyms in error messages whose values may mean something else."""
NAMES = {
    **{name: ours for name, ours in SYNONYMS.items() if " " not in ours and name not in UNCLEAR},
    **dict.fromkeys(("init_lr", "initial_learning_rate"), "lr"),
    **dict.fromkeys(("bsz", "train_batch_size"), "batch_size"),
    **dict.fromkeys(("n_epochs", "nepochs", "nb_epochs", "max_epochs", "epoch"), "epochs"),
    **dict.fromkeys(("lr_scheduler", "learning_rate_schedule"), "schedule"),
    **dict.fromkeys(("architecture", "model_name"), "model"),
    **dict.fromkeys(("opt", "optimizer_name"), "optimizer"),
    **dict.fromkeys(("grad_clip", "max_grad_norm", "clip_grad"), "clip_grad_norm"),
}
"""Names of other programs, in lower case with underscores -> our training field, where both mean the same."""
METRICS = {
    **dict.fromkeys(("val_loss", "validation_loss", "valid_loss", "eval_loss", "loss"), "holdout_loss"),
    **dict.fromkeys(("val_error", "validation_error", "valid_error", "val_err"), "holdout_error_percent"),
    **{name: name for name in ("holdout_loss", "holdout_error_percent")},
}
SAME_RANGES = ("uniform", "int_uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values")
EXPONENTS = {"log_uniform": "log_uniform_values", "q_log_uniform": "q_log_uniform_values"}
"""Distributions whose ends W&B takes as natural logarithms."""
LISTS = ("constant", "categorical")
DISTRIBUTION_KEYS = ("value", "values", "min", "max", "q", "distribution")
OTHER_KEYS = ("mu", "sigma", "a", "b", "probabilities", "parameters")
"""Keys of a W&B parameter that a space cannot express."""
DEFAULT_ETA = 3
MAX_BRACKETS = 64
EXPONENT_DIGITS = 6
MAX_MULTIPLE = 1e15
MAX_GRID = 1000
"""Largest number of values of a range in a grid."""
TOLD_DEFAULTS = ("model", "dataset", "epochs")


def is_wandb_sweep(content: object) -> bool:
    """Return whether a YAML file is a W&B sweep: parameters and a key of W&B's, but no section of a space."""
    if not isinstance(content, Mapping) or "parameters" not in content or not content.keys() & {*THEIR_KEYS}:
        return False
    return not _sections(content)


def refuse_mixture(source: YamlSource) -> None:
    """Refuse a file with keys of a W&B sweep and sections of a space, unless it is clear that it is a space."""
    content, sections = source.content, _sections(source.content)
    has_own_trials = not {*sections}.isdisjoint(("search", "grid", "rows", "parts"))
    is_theirs = "method" in content or (not has_own_trials and not content.keys().isdisjoint(ONLY_THEIRS))
    if sections and "parameters" in content and is_theirs:
        keys = ", ".join(key for key in THEIR_KEYS if key in content)
        raise UserError(
            f"{source.where((sections[0],))}: is of a space, but {keys} of a W&B sweep: leave {', '.join(sections)} "
            f"out, or write a space, with search: {{algorithm: tpe, num_trials: 20}} or grid: in place of method"
        )


def _sections(content: Mapping[Any, Any]) -> list[str]:
    return [str(key) for key in content if key in Space.model_fields and key not in SHARED_KEYS]


def translated(source: YamlSource) -> tuple[YamlSource, list[str]]:
    """Return the space that asks for what a W&B sweep asks for, and a line for each key that changes.

    The lines of the new keys are those of the keys that they come from.

    Raises:
        UserError: a key is unknown, or its meaning cannot be expressed.
    """
    found = _Translation(source)
    return YamlSource(source.path, dump_yaml(found.space), found.space, found.lines, found.origins), found.notes


@contextlib.contextmanager
def in_their_words(source: YamlSource) -> Iterator[None]:
    """Say in W&B's words what is wrong with a space, if it is the translation of a W&B sweep."""
    try:
        yield
    except UserError as error:
        if not source.origins:
            raise
        message = str(error)
        for pattern, words in THEIR_WORDS.items():
            message = re.sub(pattern, words, message)
        if OUR_WORDS.search(message):
            message += " (that needs a space in place of a W&B sweep)"
        raise FieldError(error.field, message) if isinstance(error, FieldError) else UserError(message) from None


class _Translation:
    """One sweep on its way: what is known of the space, the lines of its keys, and the notes."""

    def __init__(self, source: YamlSource) -> None:
        self._source = source
        self._sweep: Mapping[str, Any] = source.content
        self.space: dict[str, Any] = {}
        self.lines: dict[KeyPath, int] = {}
        self.origins: dict[KeyPath, KeyPath] = {}
        self.notes: list[str] = []
        for key in self._sweep:
            if key not in KEYS:
                self._refuse((key,), f"unknown key of a W&B sweep: {nearest(str(key), KEYS)}")
        if "method" not in self._sweep:
            self._refuse((), "method is missing: method: grid, random or bayes")
        self._method = self._sweep["method"]
        if not isinstance(self._method, str) or self._method not in METHODS:
            self._refuse(("method",), f"must be grid, random or bayes, got {quoted(self._method)}")
        self._top()
        can_stop = {"run_cap", "early_terminate"} & self._sweep.keys()
        self._is_search = self._method != "grid" or bool(can_stop)
        if self._is_search:
            self._search()
            self._objective()
            self._scheduler()
        elif "metric" in self._sweep:
            self._note(("metric",), "is left out: a grid has no objective")
        self._parameters()

    def _refuse(self, path: KeyPath, message: str) -> NoReturn:
        raise UserError(f"{self._source.where(path)}: {message}")

    def _note(self, path: KeyPath, message: str) -> None:
        self.notes.append(f"{self._source.where(path)}: {message}")

    def _put(self, path: tuple[str, ...], value: object, origin: KeyPath) -> None:
        """Enter a value into the space; it and what is in it get the lines of what it comes from."""
        section = self.space
        for depth, key in enumerate(path[:-1], 1):
            section = section.setdefault(key, {})
            self.lines.setdefault(path[:depth], self._source.lines.get(origin[:depth], 1))
            self.origins.setdefault(path[:depth], origin[:depth])
        section[path[-1]] = value
        self.origins[path] = origin
        for known, line in self._source.lines.items():
            if known[: len(origin)] == origin:
                self.lines[(*path, *known[len(origin) :])] = line

    def _top(self) -> None:
        """Translate what does not concern the trials."""
        name = self._sweep.get("name")
        if name is not None and not re.fullmatch(SWEEP_NAME_PATTERN, str(name)):
            self._note(("name",), f"is left out: a sweep's name has {SWEEP_NAME_RULE}")
        elif name is not None:
            self._put(("name",), str(name), ("name",))
        if self._sweep.get("description"):
            self._put(("description",), self._sweep["description"], ("description",))
        for key, why in LEFT_OUT.items():
            if key in self._sweep:
                self._note((key,), f"is left out: {why}")
        if "project" in self._sweep:
            self._note(("project",), f"is left out: `export SWEEP --wandb {self._sweep['project']}` writes there")
        if "command" in self._sweep:
            self._command(self._sweep["command"])

    def _command(self, command: object) -> None:
        words = [str(word) for word in command] if isinstance(command, list) else str(command).split()
        for word in words:
            flag, equals, value = word.lstrip("-").partition("=")
            if word.startswith("-") and (field := _field(flag)) is not None:
                given = value if equals else "..."
                self._refuse(("command",), f"{word!r} is not read: write parameters: {{{field}: {{value: {given}}}}}")
        self._note(("command",), "is left out: the training is built in")

    def _search(self) -> None:
        algorithm = METHODS[self._method]
        self._put(("search", "algorithm"), algorithm, ("method",))
        if self._method == "bayes":
            self._note(("method",), "bayes becomes mfgp, which learns from stopped trials, too")
        cap = self._sweep.get("run_cap")
        if cap is not None:
            self._put(("search", "num_trials"), cap, ("run_cap",))
        elif self._method != "grid":
            self._refuse(("method",), f"{self._method} has no end of its own: add run_cap: 20, the number of trials")

    def _objective(self) -> None:
        metric = self._sweep.get("metric")
        if metric is None:
            self._note((), "metric is missing: the search minimizes holdout_error_percent")
            return
        if not isinstance(metric, Mapping):
            self._refuse(("metric",), f"must be {{name: val_loss, goal: minimize}}, got {quoted(metric)}")
        for key in metric:
            if key not in ("name", "goal", "target"):
                self._refuse(("metric", key), f"unknown key: {nearest(str(key), ('name', 'goal', 'target'))}")
        ours = "write metric: {name: holdout_error_percent, goal: minimize}"
        if metric.get("goal", "minimize") != "minimize":
            self._refuse(("metric", "goal"), f"must be minimize, got {quoted(metric['goal'])}: {ours}")
        name = str(metric.get("name", ""))
        plain = re.sub(r"\W+", "_", name.lower())
        if plain not in METRICS:
            what = "is of the test images, which must not steer a search" if "test" in plain else "is unknown"
            self._refuse(("metric", "name"), f"{name!r} {what}: {ours}, or name: holdout_loss")
        self._put(("objective", "metric"), METRICS[plain], ("metric", "name"))
        self._put(("objective", "goal"), "minimize", ("metric",))
        if METRICS[plain] != name:
            self._note(("metric", "name"), f"{name} becomes {METRICS[plain]}, measured on held-out training images")
        if "target" in metric:
            self._note(("metric", "target"), "is left out: a search ends after its trials")

    def _scheduler(self) -> None:
        early, path = self._sweep.get("early_terminate"), "early_terminate"
        if not early:
            return
        known = ("type", "min_iter", "max_iter", "s", "eta", "strict")
        if not isinstance(early, Mapping) or early.get("type") != "hyperband":
            self._refuse((path,), f"must be {{type: hyperband, min_iter: 3}}, got {quoted(early)}")
        for key, value in early.items():
            if key not in known:
                self._refuse((path, key), f"unknown key: {nearest(str(key), known)}")
            if key in ("min_iter", "max_iter", "s", "eta") and (not isinstance(value, int) or value < 1):
                self._refuse((path, key), f"must be a whole number of at least 1, got {quoted(value)}")
        eta = early.get("eta", DEFAULT_ETA)
        grace, origin = early.get("min_iter"), "min_iter"
        if grace is None:
            if not {"max_iter", "s"} <= early.keys():
                self._refuse((path,), "needs min_iter, or max_iter and s")
            grace, origin = max(1, early["max_iter"] // eta ** min(early["s"], MAX_BRACKETS)), "max_iter"
        for key in {"max_iter", "s"} & early.keys() if origin == "min_iter" else ():
            self._note((path, key), "is left out: min_iter and the number of epochs say the same")
        self._put(("scheduler", "type"), "asha", (path, "type"))
        self._put(("scheduler", "grace_epochs"), grace, (path, origin))
        if "eta" in early:
            self._put(("scheduler", "reduction_factor"), eta, (path, "eta"))
        self._note((path, "type"), f"hyperband becomes asha, whose first rung is epoch {grace}")
        if "strict" in early:
            self._note((path, "strict"), "is left out: there is one kind of asha")

    def _parameters(self) -> None:
        """Translate the parameters: single values into `defaults`, the others into `grid` or `parameters`."""
        given = self._sweep["parameters"]
        if not isinstance(given, Mapping) or not given:
            self._refuse(("parameters",), f"must be a mapping of names to {{values: [...]}}, got {quoted(given)}")
        origins: dict[str, str] = {}
        section = "parameters" if self._is_search else "grid"
        for name, spec in given.items():
            path: KeyPath = ("parameters", str(name))
            field = self._field_of(str(name))
            if field in origins:
                self._refuse(path, f"is {field}, as {origins[field]!r} is: leave one of them out")
            origins[field] = str(name)
            spec = self._checked(path, spec)
            values = [spec["value"]] if "value" in spec else spec.get("values")
            if values is None:
                self._range(section, field, path, spec)
                continue
            values = [self._value(path, field, value) for value in values] if isinstance(values, list) else values
            origin = (*path, "value" if "value" in spec else "values")
            if isinstance(values, list) and len(values) == 1:
                self._put(("defaults", field), values[0], origin if "value" in spec else (*origin, 0))
            else:
                self._put((section, field) if section == "grid" else (section, field, "values"), values, origin)
        if not self._is_search and "grid" not in self.space:  # one trial
            field, value = self.space["defaults"].popitem()
            self._put(("grid", field), [value], ("parameters", origins[field]))
        missing = [name for name in TOLD_DEFAULTS if name not in origins]
        if missing:
            told = ", ".join(f"{name} is {DEFAULTS[name]}" for name in missing)
            self._note((), f"{told}: to change it, add parameters: {{{missing[0]}: {{value: ...}}}}")

    def _field_of(self, name: str) -> str:
        """Return our name of a parameter."""
        path = ("parameters", name)
        field = _field(name)
        if field is None:
            try:
                check_settable(name)
            except UserError as error:
                self._refuse(path, str(error))
            return name
        if field != name:
            self._note(path, f"becomes {field}")
        return field

    def _checked(self, path: KeyPath, spec: object) -> Mapping[str, Any]:
        """Refuse what a parameter of a space cannot express."""
        if not isinstance(spec, Mapping):
            forms = "{value: ...}, {values: [...]} or {min: ..., max: ...}"
            self._refuse(path, f"must be {forms}, got {quoted(spec)}")
        if "parameters" in spec:
            self._refuse(path, "nested parameters: a space is flat: write the training fields beside each other")
        for key in spec:
            if key not in (*DISTRIBUTION_KEYS, *OTHER_KEYS):
                self._refuse((*path, key), f"unknown key: {nearest(str(key), DISTRIBUTION_KEYS)}")
        if "probabilities" in spec:
            self._refuse((*path, "probabilities"), "each of the values is equally likely here: leave it out")
        kind = spec.get("distribution")
        known = (*SAME_RANGES, *EXPONENTS, *LISTS)
        if (kind is not None and kind not in known) or {"mu", "sigma", "a", "b"} & spec.keys():
            got = f"the distribution {quoted(kind)}" if kind else "this distribution"
            self._refuse(path, f"{got} is not possible here: give min and max with uniform or log_uniform_values")
        is_range = bool({"min", "max", "q"} & spec.keys()) or kind not in (None, *LISTS)
        if ("value" in spec) + ("values" in spec) + is_range > 1:
            self._refuse(path, "give either value, or values, or min and max")
        if "value" in spec and spec["value"] is None:
            self._refuse((*path, "value"), "is empty: give it a value, or leave the parameter out")
        return spec

    def _value(self, path: KeyPath, field: str, value: object) -> object:
        """Return a value in our words."""
        if field == "optimizer" and isinstance(value, str) and value not in OPTIMIZERS:
            if value.lower() not in OPTIMIZERS:
                meant = nearest(value, OPTIMIZERS)
                if value.lower() == "adam":
                    meant = "did you mean 'adamw', whose weight decay is decoupled?"
                self._refuse(path, f"optimizer {value!r} is unknown: {meant}")
            self._note(path, f"{value} becomes {value.lower()}")
            return value.lower()
        return value

    def _range(self, section: str, field: str, path: KeyPath, spec: Mapping[str, Any]) -> None:
        """Translate a parameter with min and max."""
        low, high, kind, q = (spec.get(key) for key in ("min", "max", "distribution", "q"))
        if not (_is_number(low) and _is_number(high)):
            self._refuse(path, "give value, values, or min and max, which are finite numbers")
        if kind in EXPONENTS:
            ends, kind = f"{kind} from {low:g} to {high:g}", EXPONENTS[kind]
            low, high = (_tidied(math.exp(min(end, 700.0)), EXPONENT_DIGITS) for end in (low, high))
            self._note(path, f"{ends} becomes {kind} from {low:g} to {high:g}")
        if self._method == "grid":
            is_whole = kind in (None, "int_uniform") and isinstance(low, int) and isinstance(high, int)
            if not is_whole or not 0 <= high - low < MAX_GRID:
                self._refuse(path, "a grid needs values: [...] in place of min and max")
            keys = (section, field) if section == "grid" else (section, field, "values")
            self._put(keys, list(range(int(low), int(high) + 1)), path)
            return
        if kind is not None and kind.startswith("q_"):
            q = 1 if q is None else q
            low, high = self._multiples(path, kind, (low, high), q)
        for key, value in {"min": low, "max": high, "distribution": kind, "q": q}.items():
            if value is not None:
                self._put(("parameters", field, key), value, (*path, key))

    def _multiples(self, path: KeyPath, kind: str, ends: tuple[float, float], q: object) -> tuple[float, float]:
        """Return the ends at multiples of q, from which W&B counts its steps; here they are counted from min."""
        if not _is_number(q) or q <= 0 or max(map(abs, ends)) / q > MAX_MULTIPLE:
            return ends
        first, last = (math.ceil(ends[0] / q - 1e-9), math.floor(ends[1] / q + 1e-9))
        low, high = (_tidied(steps * q) for steps in (max(first, 1) if "log" in kind else first, last))
        if (low, high) != ends:
            self._note(path, f"is from {low:g} to {high:g}, which are multiples of q")
        return low, high


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether this is a number that is neither infinite nor larger than a parameter can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_SIZE


def _tidied(value: float, digits: int = COMPUTED_DIGITS) -> float:
    """Return a computed value without rounding errors; a whole one is an int, as W&B reads it."""
    value = round_significant(value, digits)
    return int(value) if value.is_integer() else value


def _field(name: str) -> str | None:
    """Return the training field that a name of another program means; None if that is not clear."""
    plain = re.sub(r"[\s-]+", "_", name.lower())
    ours = NAMES.get(plain, plain)
    if name.startswith(ARGUMENT_PREFIX):
        return name
    return ours if ours in SETTABLE_FIELDS else None
