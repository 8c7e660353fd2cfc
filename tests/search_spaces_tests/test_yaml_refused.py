"""A file that is not a space is refused in one line with its name."""

import re
from pathlib import Path

import pytest

from search_spaces.yaml_source import parse_yaml
from trainable.errors import UserError


def refusal(path: Path) -> str:
    """The message, which is one line and names the file."""
    with pytest.raises(UserError) as caught:
        parse_yaml(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "space.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_duplicate_keys_name_both_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "name: a\ngrid:\n  lr: [1]\n  seed: [1]\n  lr: [2]\n")
    message = refusal(path)
    assert message.startswith(f"{path}:5:")
    assert "'lr'" in message
    assert "first on line 3" in message


def test_the_same_key_in_another_mapping_is_no_duplicate(tmp_path: Path) -> None:
    path = written(tmp_path, "rows:\n- lr: 1\n- lr: 2\ndefaults:\n  lr: 3\n")
    assert parse_yaml(path).content["rows"] == [{"lr": 1}, {"lr": 2}]


def test_not_utf8(tmp_path: Path) -> None:
    assert "UTF-8" in refusal(written(tmp_path, b"name: \xff\xfe\n"))


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing.yaml")


def test_a_folder(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("grid:\n  lr: [0.1, 0.2\nname: x\n", "2: not valid YAML: a ']' or a ',' is missing"),
        ("name: x\ngrid: {lr: [0.1, 0.2]\n\n", "2: not valid YAML: a '}' or a ',' is missing"),
        ("a: 1\n\tb: 2\n", "2: not valid YAML: a tab: YAML is indented with spaces"),
        ("a:\n\tb: 2\n", "2: not valid YAML: a tab: YAML is indented with spaces"),
        ("a: b: c\n", "1: not valid YAML: a ':' that does not fit here: check the indentation, or quote"),
        ("a:\n   b: 1\n  c: 2\n", "3: not valid YAML: does not fit what is above: check the indentation"),
        ("a:\n- b\n  - c: 1\n", "3: not valid YAML: a ':' that does not fit here"),
        ("a:\n  b: 1\n  - 2\n", "3: not valid YAML: a '-' that does not fit the indentation above"),
        ("a: 1\nb\nc: 2\n", "2: not valid YAML: a key without ':'"),
        ("a: 1\nb: 'x\nc: 2\n", "2: not valid YAML: a quote is not closed"),
        ("a: @b\n", "1: not valid YAML: a text that begins with @ needs quotes"),
        ("a: 1\n---\nb: 2\n", "2: not valid YAML: a second document: leave '---' out"),
        ("a: 1\nb: *nowhere\n", "2: not valid YAML: nothing above is called '&nowhere'"),
        ("a: 1\n? [b]\n: 2\n", "2: not valid YAML: a key must be a word"),
        ("a: 1\nb: !mine 2\n", "2: not valid YAML: the tag '!mine' is not known: leave it out"),
        ("a: !!int ten\n", "1: not valid YAML: 'ten' is no int (not as YAML 1.2 writes it)"),
        ("%x\na: 1\n", "2: not valid YAML: cannot be read: check the brackets"),
    ],
)
def test_malformed_yaml_names_the_line_in_our_words(tmp_path: Path, content: str, message: str) -> None:
    path = written(tmp_path, content)
    told = refusal(path)
    assert told.startswith(f"{path}:{message}")
    assert not re.search("found|expected|while|scanner|token", told.removeprefix(str(path))), "PyYAML's own words"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("name: a\x07b\n", id="control character"),
        pytest.param("name: !!timestamp 2024-13-45\n", id="impossible date"),
        pytest.param("a: &a [*a]\n", id="list inside itself"),
    ],
)
def test_other_broken_content(tmp_path: Path, content: str) -> None:
    assert "not valid YAML" in refusal(written(tmp_path, content))


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{trace}']]",
        "!!python/object/apply:os.mkdir ['{trace}']",
        "!!python/object/new:os.mkdir ['{trace}']",
        "!!python/name:os.mkdir ''",
        "!!python/tuple [1, 2]",
        "!anything 1",
    ],
)
def test_a_tag_is_refused_and_runs_nothing(tmp_path: Path, tagged: str) -> None:
    trace = tmp_path / "trace"
    path = written(tmp_path, f"name: a\nlr: {tagged.format(trace=trace)}\n")
    assert refusal(path).startswith(f"{path}:2:")
    assert not trace.exists()
