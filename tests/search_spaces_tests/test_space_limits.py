"""A space that would take minutes or gigabytes is refused in one line, before it does.

Without its limit a case would not end, so each runs under an alarm of processor time, which other processes do not
disturb; nothing is compared with a clock.
"""

import itertools
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

import pytest

from search_spaces.expansion import expand, parse_overrides
from search_spaces.expressions import Expression
from search_spaces.loader import load_space
from search_spaces.trial_maker import TrialMaker
from trainable.errors import UserError
from trainable.limited_yaml import MAX_VALUES, LimitedLoader

ALARM_SECONDS = 30.0
"""Each case takes less than a second."""


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    def fail(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"not refused after {ALARM_SECONDS:g} seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, ALARM_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


def refusal(folder: Path, text: str | bytes, overrides: Mapping[str, object] | None = None) -> str:
    """The message without the path: `line: ...`. It is one line of a length that a terminal shows."""
    path = folder / "space.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as caught:
        expand(load_space(str(path)), overrides or {})
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < len(str(path)) + 700
    assert message.startswith(f"{path}:")
    return message.removeprefix(f"{path}:")


def doubled(num_levels: int, first: str, merged: str) -> str:
    """Lines each of which stands for nine times the line above."""
    lines = [f"k0: &a0 {first}"]
    for level in range(1, num_levels + 1):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"k{level}: &a{level} {merged.format(aliases)}")
    return "\n".join(lines)


ALIASES = doubled(8, "[1, 1, 1, 1, 1, 1, 1, 1, 1]", "[{}]")
MERGED = doubled(8, "{x: 1}", "{{<<: [{}]}}")
YAML = [
    pytest.param(ALIASES, "5: more than 40,000 keys and values", id="aliases of eight levels"),
    pytest.param(MERGED, "6: more than 40,000 keys and values", id="merged mappings of eight levels"),
    pytest.param("a: 1\nb: &x [1, *x]\n", "2: not valid YAML: 'x' contains itself", id="list inside itself"),
    pytest.param(f"a: 1\nb: {'[' * 3000}", "2: more than 20 levels", id="nested lists"),
    pytest.param("- " * 3000, "1: more than 20 levels", id="nested blocks"),
    pytest.param("? " * 3000, "1: more than 20 levels", id="nested keys"),
    pytest.param(f"grid:\n  lr: [{'1,' * 200_000}]", "2: more than 40,000 keys and values", id="many values"),
    pytest.param(f"rows: [{{seed: 1{':1' * 2000}}}]", "1: rows[0].seed: ", id="sexagesimal digits"),
    pytest.param(f"a: 1\nb: !!int '1{':1' * 2000}'", "2: a number of 4,001 characters", id="tagged sexagesimal"),
    pytest.param(f"a: {'9' * 5000}", "1: a number of 5,000 characters: at most 500", id="decimal digits"),
    pytest.param(f"a: 0x{'f' * 900_000}", "1: a number of 900,002 characters", id="hexadecimal digits"),
    pytest.param(f"a: 0x{'1' * 900_000}", "1: a number of 900,002 characters", id="hexadecimal digits"),
    pytest.param(f"rows: []\nname: {'x' * 20_000}", "2: a text of 20,000 characters: at most 10,000", id="text"),
    pytest.param(f"rows: [{{model: {'x' * 9_000}}}]", "1: rows[0].model: ", id="model"),
    pytest.param(f"name: {'x' * 9_000}\nrows: [{{lr: 1}}]", "1: name: 'xxx", id="name"),
    pytest.param(f"rows: [{{lr: 1}}]\n? {'x' * 1000}\n: 1", "2: a key of 1,000 characters", id="key"),
    pytest.param(f"a: *{'x' * 9_000}", "1: not valid YAML: nothing above is called", id="alias"),
    pytest.param(f"a: !{'x' * 9_000} 1", "1: not valid YAML: the tag '!xxx", id="tag"),
    pytest.param(f"name: {'x' * 1_000_000}", "1: the file has 1,000,006 bytes: at most 1,000,000", id="large file"),
    pytest.param('rows: [{lr: 1}]\n"a\\nb": 1\n', "2: 'a\\nb': unknown key", id="line feed in a key"),
    pytest.param("a: 1\nb: !!timestamp 2024-13-45\n", "2: not valid YAML: '2024-13-45' is no timestamp", id="date"),
    pytest.param("a: 1\nb: !!int ''\n", "2: not valid YAML: '' is no int", id="no digits"),
    pytest.param("a: 1\nb: !!bool 3\n", "2: not valid YAML: '3' is no bool", id="no truth"),
    pytest.param("a: 1\nb: !!timestamp x\n", "2: not valid YAML: 'x' is no timestamp", id="no time"),
    pytest.param("a: 1\nb: \x07\n", "2: not valid YAML: a character that does not print", id="control character"),
    pytest.param(b"a: 1\nb: \xff\n", "2: ", id="other encoding"),
]
EXPRESSIONS = [
    pytest.param("round(7, -9999999999)", "round to -9999999999 digits: at most 300", id="digits"),
    pytest.param("round(7, 10 ** 60)", "digits: at most 300", id="many digits"),
    pytest.param(" ** ".join(["2"] * 100), "the exponent", id="powers"),
    pytest.param("9" * 499, "a whole number is too large", id="long number"),
    pytest.param("*".join(["base_lr"] * 62), "a whole number is too large", id="long product"),
    pytest.param("(" * 150 + "1" + ")" * 150, "", id="parentheses, which mean nothing"),
    pytest.param("(" * 240 + "1" + ")" * 240, "cannot read the expression", id="too many parentheses"),
    pytest.param("1 + " * 2_000 + "1", "longer than 500 characters", id="long"),
]
COUNTS = [
    pytest.param(
        f"name: a\ngrid: {{lr: {list(range(1, 101))}, batch_size: {list(range(1, 101))}, seed: {list(range(100))}}}",
        "2: grid: 1,000,000 trials: at most 100,000 are possible",
        id="grid",
    ),
    pytest.param(
        f"grid: {{lr: {list(range(1, 1001))}}}\nrepeats: 101",
        "1: grid: 101,000 trials: at most 100,000 are possible",
        id="repeats",
    ),
    pytest.param(
        "parts:\n" + f"- grid: {{lr: {list(range(1, 301))}, seed: {list(range(200))}}}\n" * 2,
        "3: parts[1].grid: 60,000 trials after 60,000 others: at most 100,000 are possible",
        id="parts",
    ),
    pytest.param(
        "grid:\n" + "".join(f"  v{axis}: {list(range(50))}\n" for axis in range(300)),
        "1: grid: more than 1,000,000,000,000,000 trials",
        id="axes",
    ),
    pytest.param(
        f"rows: [{{lr: 1}}]\nderive:\n{''.join(f'  v{n}: lr{chr(10)}' for n in range(5000))}",
        "2: derive: has too many entries: give at most 100",
        id="derived",
    ),
    pytest.param(
        "search: {algorithm: random, num_trials: 2}\n"
        f"parameters: {{lr: {{values: {[n + 1 for n in range(30_000)] + [1]}}}}}",
        "2: parameters.lr: values holds 1 twice",
        id="values of a parameter",
    ),
]


@pytest.mark.parametrize(("text", "words"), YAML)
def test_yaml_that_stands_for_too_much(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert refusal(tmp_path, text).startswith(words)


def test_aliases_are_counted_before_they_are_followed() -> None:
    loader = LimitedLoader(ALIASES)
    with pytest.raises(Exception, match="more than"):
        loader.get_single_node()
    assert MAX_VALUES < loader.num_values <= 10 * MAX_VALUES


@pytest.mark.parametrize(("text", "words"), EXPRESSIONS)
def test_expressions_without_bound(tmp_path: Path, text: str, words: str) -> None:
    space = f"name: a\nrows: [{{base_lr: 100000}}]\nderive:\n  lr: {text!r}\n  momentum: base_lr * 0\n"
    if not words:
        assert Expression(text).compute({}) == 1
    else:
        message = refusal(tmp_path, space)
        assert message.startswith(("4: derive.lr: ", "2: rows[0]: derive.lr: "))
        assert words in message


def test_a_chain_of_squares_does_not_grow_without_bound(tmp_path: Path) -> None:
    fields = ["base_lr", "seed", "epochs", "batch_size", "train_subset"]
    lines = [f"  {name}: {'*'.join([before] * 30)}\n" for before, name in itertools.pairwise(fields)]
    message = refusal(tmp_path, f"rows: [{{base_lr: 100000}}]\nderive:\n{''.join(lines)}")
    assert message.endswith("cannot be computed: a whole number is too large (with base_lr=100000)")


@pytest.mark.parametrize(("text", "words"), COUNTS)
def test_trials_are_counted_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setattr(TrialMaker, "make", lambda *_: pytest.fail("a trial was made"))
    assert refusal(tmp_path, text).startswith(words)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(UserError, match=r"space.yaml:1: the file has 104,857,600 bytes: at most 1,000,000"):
        load_space(str(path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    os.mkfifo(path)
    with pytest.raises(UserError, match="is not a regular file"):
        load_space(str(path))


@pytest.mark.parametrize("value", [f"!!int '1{':1' * 2000}'", "[" * 3000, "&x [*x]", "!!int ''", "9" * 5000])
def test_a_value_that_is_set_has_the_same_limits(value: str) -> None:
    with pytest.raises(UserError, match=r"^cannot read the value "):
        parse_overrides([f"lr={value}"])
