"""Which trial continues which."""

from results.parquet.search_results import lineage


def test_the_lineage_of_a_trial() -> None:
    parents = {"a": None, "b": "a", "c": "b", "d": "a"}
    assert lineage(parents, "c") == ["a", "b", "c"]
    assert lineage(parents, "a") == ["a"]
    assert lineage({"x": "y", "y": "x"}, "x") == ["y", "x"]  # a damaged table
