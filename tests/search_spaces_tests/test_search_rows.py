"""Tied values as one parameter of a search: rows, of which each is a choice."""

from pathlib import Path

import pytest

from search_spaces.listing import search_lines
from tests.search_spaces_tests.search_samples import SEARCH, maker_of
from tests.search_spaces_tests.space_samples import refusal

RECIPE = """\
parameters:
  recipe:
    rows:
    - {base_lr: 0.1, batch_size: 128}
    - {base_lr: 0.30000000000000004, batch_size: 32, epochs: 20, schedule: multistep, milestones: [0.5, 0.75]}
  momentum: {min: 0.8, max: 0.9, when: batch_size >= 64}
derive: {lr: base_lr * batch_size / 128}
"""
CHOICES = (
    "base_lr=0.1 batch_size=128",
    "base_lr=0.30000000000000004 batch_size=32 epochs=20 schedule=multistep milestones=0.5 0.75",
)


def test_the_sampler_sees_one_choice_and_the_trial_has_the_fields(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SEARCH + RECIPE)
    recipe, _ = maker.parameters
    assert (recipe.name, recipe.kind, recipe.choices) == ("recipe", "categorical", CHOICES)
    trial = maker.trial({"recipe": CHOICES[0], "momentum": 0.8})
    assert (trial.config.lr, trial.config.batch_size, trial.config.momentum) == (0.1, 128, 0.8)
    assert trial.variables == {"base_lr": 0.1, "recipe": CHOICES[0]}
    other = maker.trial({"recipe": CHOICES[1], "momentum": 0.8}).config
    assert (other.batch_size, other.epochs, other.milestones) == (32, 20, (0.5, 0.75))
    assert other.momentum == 0.9  # its condition is false for this row
    assert maker.assignment({"recipe": CHOICES[1], "momentum": 0.8}) == {"recipe": CHOICES[1]}
    assert maker.max_epochs == 200
    assert f"  recipe           {', '.join(CHOICES)}" in search_lines(maker)


def test_set_fixes_a_field_of_all_rows_and_takes_out_a_parameter_without_others(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, SEARCH + RECIPE, {"batch_size": 64})
    assert {trial.config.batch_size for trial in maker.corners} == {64}
    text = f"{SEARCH}parameters: {{recipe: {{rows: [{{lr: 0.1}}, {{lr: 0.2}}]}}, momentum: {{min: 0.8, max: 0.9}}}}\n"
    assert [parameter.name for parameter in maker_of(tmp_path, text, {"lr": 0.5}).parameters] == ["momentum"]


def test_a_first_point_names_a_row_by_its_values(tmp_path: Path) -> None:
    text = f"{SEARCH}{RECIPE}first: [{{recipe: {{batch_size: 128, base_lr: 0.1}}, momentum: 0.85}}]\n"
    maker = maker_of(tmp_path, text)
    assert maker.first == [{"recipe": CHOICES[0], "momentum": 0.85}]
    assert "  first            recipe={base_lr: 0.1, batch_size: 128} momentum=0.85" in search_lines(maker)
    rows = "{base_lr: 0.1, batch_size: 128}, {base_lr: 0.30000000000000004, batch_size: 32, epochs: 20,"
    for given in ("0", "{base_lr: 0.1}"):
        wrong = refusal(tmp_path, f"{SEARCH}{RECIPE}first: [{{recipe: {given}}}]\n")
        assert wrong.startswith(f"FILE:9: first[0].recipe: must be one of the rows: {rows}")
        assert wrong.endswith(f"; got {given}")
    wrong = refusal(tmp_path, f"{SEARCH}{RECIPE}first: [{{batch_size: 128, momentum: 0.85}}]\n")
    wanted = "belongs to the rows of 'recipe': write {recipe: {base_lr: 0.1, batch_size: 128}}"
    assert wrong == f"FILE:9: first[0].batch_size: {wanted}"


@pytest.mark.parametrize("algorithm", ["grid", "cmaes"])
def test_rows_are_choices_for_every_algorithm(tmp_path: Path, algorithm: str) -> None:
    rest = "lr: {min: 0.1, max: 1.0}, momentum: {min: 0.8, max: 0.9}" if algorithm == "cmaes" else ""
    text = f"parameters: {{size: {{rows: [{{batch_size: 32}}, {{batch_size: 64}}]}}, {rest}}}\n"
    assert maker_of(tmp_path, f"search: {{algorithm: {algorithm}, num_trials: 2}}\n{text}").num_trials == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("{recipe: {rows: []}}", "recipe.rows: is empty: give at least one entry"),
        ("{recipe: {rows: [{}, {lr: 1}]}}", "recipe.rows[0]: is empty: give at least one entry"),
        (
            "{recipe: {rows: [{lr: 1}]}}",
            "recipe: rows has only one entry, {'lr': 1}: give a second one, or move it to",
        ),
        ("{recipe: {rows: [{lr: 1}, {lr: 1}]}}", "recipe: rows holds 'lr=1' twice"),
        ("{recipe: {rows: [{lr: 1}, {lr: 2}], min: 1}}", "recipe: rows stand alone: give either rows, or values, or"),
        ("{recipe: {rows: {lr: 1}}}", "recipe.rows: must be a list, got {'lr': 1}"),
        ("{recipe: {rows: [{lrr: 1}, {lr: 2}]}}", "recipe.rows[0].lrr: unknown key 'lrr': did you mean 'lr'?"),
        ("{recipe: {rows: [{lr: 1}, {lr: -2}]}}", "recipe.rows[1].lr: lr must be greater than 0, got -2"),
        (
            "{recipe: {rows: [{lr: 1}, {seed: 2}]}}",
            "recipe.rows[1].seed: cannot be a parameter of a search: a search",
        ),
        (
            "{recipe: {rows: [{lr: 1}, {lr: 2}]}, lr: {min: 1, max: 2}}",
            "recipe.rows[0].lr: is a parameter too: leave one of them out",
        ),
        ("{lr: {rows: [{lr: 1}, {lr: 2}]}}", "lr: is a training field: give its rows another name, such as recipe"),
        ("{recipe: {rows: [{lr: 1}, {lr: 2}], when: lr > 1}}", "recipe: rows stand alone"),
    ],
)
def test_wrong_rows_are_one_line_with_their_key(tmp_path: Path, parameters: str, message: str) -> None:
    told = refusal(tmp_path, f"{SEARCH}parameters: {parameters}\n")
    assert told.startswith(f"FILE:2: parameters.{message}")
