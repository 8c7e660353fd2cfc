"""A parsed file knows the line of each key."""

from pathlib import Path

from search_spaces.yaml_source import YamlSource, parse_yaml

TEXT = """\
# a comment
name: a
grid:
  lr:
    values: [0.1,
      0.2]
rows:
  - lr: 1
    batch_size: 2
  -
    lr: 3
"""


def parse_text(folder: Path, text: str) -> YamlSource:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return parse_yaml(path)


def test_lines_of_nested_keys_and_items(tmp_path: Path) -> None:
    lines = parse_text(tmp_path, TEXT).lines
    assert lines["name",] == 2
    assert lines["grid", "lr", "values"] == 5
    assert lines["grid", "lr", "values", 1] == 6
    assert lines["rows", 0, "batch_size"] == 9
    assert lines["rows", 1, "lr"] == 11


def test_content_and_text_are_kept(tmp_path: Path) -> None:
    source = parse_text(tmp_path, TEXT)
    assert source.text == TEXT
    assert source.content == {
        "name": "a",
        "grid": {"lr": {"values": [0.1, 0.2]}},
        "rows": [{"lr": 1, "batch_size": 2}, {"lr": 3}],
    }


def test_a_location_is_named_by_file_line_and_key(tmp_path: Path) -> None:
    source = parse_text(tmp_path, TEXT)
    assert source.where(("rows", 0, "batch_size")) == f"{source.path}:9: rows[0].batch_size"


def test_an_unknown_location_has_the_line_of_what_surrounds_it(tmp_path: Path) -> None:
    source = parse_text(tmp_path, TEXT)
    assert source.where(("grid", "lr", "value")) == f"{source.path}:4: grid.lr.value"


def test_the_whole_file_is_where_it_begins(tmp_path: Path) -> None:
    source = parse_text(tmp_path, TEXT)
    assert source.where(()) == f"{source.path}:2"


def test_an_empty_file_has_no_content(tmp_path: Path) -> None:
    assert parse_text(tmp_path, "").content is None


def test_anchors_may_be_used(tmp_path: Path) -> None:
    source = parse_text(tmp_path, "a: &x [1e-3]\nb: *x\n")
    assert source.content == {"a": [0.001], "b": [0.001]}
