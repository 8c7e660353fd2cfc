"""Any fields against each other: what a scatter shows, what it chooses by itself, and what it refuses."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

import tune_main
from results.figures.fields import Roles, SweepTrials, resolved
from results.figures.figure_data import Results
from results.figures.gallery import draw
from results.figures.marks import Scatter, scatter
from results.figures.scatter import draw_scatter
from results.parquet.files import read_epochs, read_trials
from results.parquet.search_results import Objective, Parameter, SearchResults, SearchTrial, read_search
from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table
from results.store.opening import open_store
from tests.conftest import ROOT
from tests.results_tests.figure_samples import overlaps
from tests.results_tests.result_samples import make_config, make_epoch, make_trial
from trainable.errors import UserError

EXAMPLES = ROOT / "results" / "examples"
ERRORS: dict[tuple[float, float], tuple[float | None, ...]] = {
    (0.1, 1e-4): (9.0, 8.0),
    (1.0, 1e-4): (20.0, 24.0),
    (9.0, 1e-4): (None, None),
    (0.1, 1e-2): (7.0, 7.0),
    (1.0, 1e-2): (30.0, None),
    (9.0, 1e-2): (None, None),
}
"""(lr, weight decay) -> test error of each repeat; None if it diverged."""


def grid(name: str = "mine", **fields: object) -> SweepTrials:
    """A grid of lr x weight decay with two repeats, of which five trials diverged."""
    trials = [
        make_trial(
            make_config(lr=lr, weight_decay=decay, seed=seed, **fields),
            error,
            status="COMPLETE" if error is not None else "DIVERGED",
            train_seconds=100.0 * (seed + 1),
        )
        for (lr, decay), errors in ERRORS.items()
        for seed, error in enumerate(errors)
    ]
    return SweepTrials(name, trials)


def words(name: str = "optimizer", values: Sequence[str] = ("sgd", "adamw", "muon")) -> SweepTrials:
    trials = [make_trial(make_config(**{name: value}), 8.0 + number) for number, value in enumerate(values)]
    return SweepTrials("words", trials)


def names(asked: Roles, *sweeps: SweepTrials) -> dict[str, str]:
    return {role: axis.name for role, axis in resolved(asked, sweeps).items()}


def searched(name: str = "tpe_asha") -> Results:
    store = open_store(str(EXAMPLES / "search_against_grid"))
    table = read_trials(store, name)
    cells = group_repeats(trials_from_table(table))
    return Results(name, cells, epochs=lambda: epochs_from_table(read_epochs(store, name)), search=read_search(table))


def values_of(content: Scatter, *roles: str) -> list[tuple[Any, ...]]:
    return [tuple(mark.values[role] for role in roles) for mark in content.marks]


def test_repeats_are_means_with_a_span_and_diverged_trials_have_no_mark() -> None:
    content = scatter([grid()], Roles())
    assert values_of(content, "x", "color", "y") == [
        *((0.1, 1e-4, 8.5), (1.0, 1e-4, 22.0)),
        *((0.1, 1e-2, 7.0), (1.0, 1e-2, 30.0)),
    ]
    assert [(mark.spans["y"], mark.num_runs) for mark in content.marks] == [
        *(((8.0, 9.0), 2), ((20.0, 24.0), 2)),
        *(((7.0, 7.0), 2), ((30.0, 30.0), 1)),
    ]
    assert [trial.values for trial in content.lost] == [
        *[{"x": 9.0, "color": 1e-4}] * 2,
        {"x": 1.0, "color": 1e-2},
        *[{"x": 9.0, "color": 1e-2}] * 2,
    ]
    assert content.title.split("\n")[1:] == [
        "trials without a final value, at the edge: 5 diverged (×)",
        "means of 1 to 2 runs; error bars: from the lowest to the highest",
    ]


def test_the_most_important_fields_are_chosen_where_nobody_says() -> None:
    assert names(Roles(), grid()) == {"x": "lr", "y": "test_error_percent", "color": "weight_decay"}
    assert names(Roles(x="weight_decay"), grid()) == {"x": "weight_decay", "y": "test_error_percent", "color": "lr"}
    assert names(Roles(panel="lr"), grid())["x"] == "weight_decay"
    both = SweepTrials("three", [*grid(momentum=0.8).trials, *grid(momentum=0.9).trials])
    assert {*names(Roles(), both).values()} == {"lr", "test_error_percent", "weight_decay", "momentum"}
    assert names(Roles(y="weight_decay"), grid()) == {"y": "weight_decay", "x": "lr", "color": "test_error_percent"}


def test_a_search_is_judged_by_its_objective() -> None:
    """Values drawn from ranges are not joined by lines, and what else differs is told."""
    parameters = (Parameter("base_lr", 0.01, 1.0, log=True), Parameter("schedule", choices=("cosine", "constant")))
    proposed = [
        SearchTrial(
            number,
            make_trial(
                make_config(lr=base_lr / 2, schedule=schedule, momentum=0.8 + 0.01 * number, holdout=0.1),
                50.0,
                proposal=number,
                objective_values=(error,),
                variables=f'{{"base_lr": {base_lr}}}',
            ),
            {"base_lr": base_lr, "schedule": schedule},
        )
        for number, (base_lr, schedule, error) in enumerate(
            [(0.02, "cosine", 9.0), (0.2, "constant", 8.0), (0.9, "cosine", 7.0)]
        )
    ]
    search = SearchResults(
        *("tpe", 3, 0, {"type": "none"}, (Objective("holdout_error_percent"),), parameters, None, proposed, {})
    )
    content = scatter([SweepTrials.of_sweep("found", (), search)], Roles(x="base_lr", color="schedule"))
    assert content.labels == {"x": "base lr", "y": "holdout error (%)", "color": "schedule"}
    assert values_of(content, "x", "y", "color") == [
        (0.02, 9.0, "cosine"),
        (0.2, 8.0, "constant"),
        (0.9, 7.0, "cosine"),
    ]
    assert not content.is_joined
    assert content.title.split("\n")[1:] == ["search by tpe, scheduler none", "points also differ in lr, momentum"]
    figure = draw_scatter(content)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cosine", "constant"]
    assert figure.axes[0].get_xscale() == "log"
    assert overlaps(figure) == []


def test_trials_that_were_stopped_early_are_at_the_edge() -> None:
    results = searched()
    (figure,) = draw("scatter", results).values()
    assert "18 stopped early (|)" in figure.get_suptitle()
    assert results.notes == ["scatter: trials without a final value, at the edge: 18 stopped early (|)"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Roles(x="wieght_decay"), "--x wieght_decay: .* no result of this name: did you mean 'weight_decay'?"),
        (Roles(color="learning_rate"), "did you mean 'lr'?"),
        (Roles(x="momentum"), "--x momentum: it is 0.9 in all trials of mine; what varies: lr, weight_decay"),
        (Roles(y="holdout_error_percent"), "--y holdout_error_percent: no trial of mine has a value"),
        (Roles(y="objective"), "--y objective: trials have no field"),
        (Roles(panel="trial_key"), "--panel trial_key: it has 12 values; at most 11 panels are drawn"),
        (Roles(color="sweep"), "--color sweep: there is only one; name several, as in `plot SWEEP OTHER"),
        (Roles(color="trial_key"), "--color trial_key: it has 12 values; at most 9 words are drawn"),
    ],
)
def test_what_cannot_be_drawn_is_refused(asked: Roles, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.figures.fields.MOST_PANELS", 11)
    monkeypatch.setattr("results.figures.fields.MOST_CATEGORIES", 9)
    with pytest.raises(UserError, match=message):
        resolved(asked, [grid()])


def test_nothing_that_varies_is_refused() -> None:
    with pytest.raises(UserError, match="no field varies in one"):
        resolved(Roles(), [SweepTrials("one", [make_trial(make_config(), 8.0)])])


def lines_of(axes: Axes) -> list[list[list[float]]]:
    """The lines that join marks, without those of error bars."""
    drawn = [line for line in axes.lines if line.get_linestyle() == "-"]
    return [np.column_stack([line.get_xdata(), line.get_ydata()]).tolist() for line in drawn]


def test_a_grid_is_joined_and_lost_trials_stand_inside_the_axes() -> None:
    figure = draw_scatter(scatter([grid()], Roles()))
    (axes,) = figure.axes
    legend = figure.legends[0]
    assert lines_of(axes) == [[[0.1, 8.5], [1.0, 22.0]], [[0.1, 7.0], [1.0, 30.0]]]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[1] > 9.0
    assert (axes.get_xlabel(), axes.get_ylabel(), legend.get_title().get_text()) == (
        *("initial learning rate", "test error (%)", "weight decay"),
    )
    assert list(axes.get_xticks()) == [0.1, 1.0, 9.0]
    assert overlaps(figure) == []


def test_few_values_have_a_colour_and_a_marker_and_many_beside_zero_a_colour_bar() -> None:
    """0, 0.0001 and 0.001 had nearly the same blue."""
    decays = (0.0, *(1e-5 * 2**n for n in range(8)))
    trials = [
        make_trial(make_config(lr=lr, weight_decay=decay), 8.0 + 10 * lr) for lr in (0.1, 0.2) for decay in decays
    ]
    few = SweepTrials("mine", [trial for trial in trials if trial.config.weight_decay in decays[:3]])
    handles = draw_scatter(scatter([few], Roles(x="lr", color="weight_decay"))).legends[0].get_lines()
    assert [handle.get_label() for handle in handles] == ["0", "1e-05", "2e-05"]
    assert len({handle.get_color() for handle in handles}) == len({handle.get_marker() for handle in handles}) == 3
    many = draw_scatter(scatter([SweepTrials("mine", trials)], Roles(x="lr", color="weight_decay")))
    assert many.axes[1].get_yscale() == "symlog"
    colors = [tuple(line.get_color()) for line in many.axes[0].lines]
    assert np.abs(np.diff(np.array(colors[:4], dtype=float), axis=0)).sum(axis=1).min() > 0.1


def test_points_on_each_other_are_counted_and_whole_numbers_have_whole_ticks() -> None:
    trials = [
        make_trial(make_config(lr=0.1 * (1 + n)), None, status="STOPPED", epochs_done=1 + n // 2) for n in range(4)
    ]
    content = scatter([SweepTrials("mine", trials)], Roles(x="epochs_done", y="attempts"))
    assert content.note == "2 points on others"
    figure = draw_scatter(content)
    sizes = [float(size) for marks in figure.axes[0].findobj(PathCollection) for size in marks.get_sizes()]
    assert sizes == [56.0, 28.0] * 2  # of two colours
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_values_of_a_range_have_round_ticks() -> None:
    results = searched()
    (figure,) = draw("scatter", dataclasses.replace(results, roles=Roles(x="lr"))).values()
    assert {0.01, 0.1} < {float(tick) for tick in figure.axes[0].get_xticks()}


def test_results_stand_on_any_axis_and_words_at_whole_numbers() -> None:
    content = scatter([grid()], Roles(x="train_seconds", y="test_error_percent", color="lr", panel="weight_decay"))
    assert content.marks[0].spans["x"] == (100.0, 200.0)
    figure = draw_scatter(content)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["weight decay 0.0001", "weight decay 0.01"]
    assert overlaps(figure) == []
    (axes,) = draw_scatter(scatter([words()], Roles(x="optimizer"))).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["SGD", "AdamW", "Muon"]


def test_marks_of_one_word_are_spread_beside_each_other() -> None:
    nesterov = [make_trial(make_config(nesterov=on, lr=lr), 8.0) for on in (True, False) for lr in (0.1, 0.2, 0.4)]
    figure = draw_scatter(scatter([SweepTrials("mine", nesterov[:4])], Roles(x="nesterov", color="lr")))
    found = [offset for marks in figure.axes[0].collections for offset in np.asarray(marks.get_offsets())[:, 0]]
    assert sorted(found) == [0.0, 0.75, 1.0, 1.25]


def test_an_axis_beside_zero_and_one_with_many_values_can_be_read() -> None:
    decays = [make_trial(make_config(weight_decay=decay), 8.0 + decay) for decay in (0.0, 1e-4, 1e-3, 1e-2)]
    (axes,) = draw_scatter(scatter([SweepTrials("mine", decays)], Roles())).axes
    assert (axes.get_xscale(), list(axes.get_xticks())) == ("symlog", [0.0, 1e-4, 1e-3, 1e-2])
    rates = [make_trial(make_config(lr=0.001 * 1.3**n, momentum=0.9 - n % 3 / 10), 8.0 + n) for n in range(26)]
    assert overlaps(draw_scatter(scatter([SweepTrials("mine", rates)], Roles(x="lr", panel="momentum")))) == []


def test_a_landscape_has_the_error_as_its_colours() -> None:
    content = scatter([grid()], Roles(x="lr", y="weight_decay"))
    assert content.lost[0].values == {"x": 9.0, "y": 1e-4}
    assert "trials without a final value: 5 diverged" in content.title
    assert overlaps(draw_scatter(content)) == []


def test_several_sweeps_have_a_colour_each_on_the_axis_that_they_share() -> None:
    first = grid("first", optimizer="sgd")
    second = SweepTrials("second", [*grid("second", optimizer="adamw").trials])
    content = scatter([first, second], Roles())
    assert {role: axis.name for role, axis in content.axes.items()} == {
        "x": "lr",
        "y": "test_error_percent",
        "panel": "weight_decay",
    }
    figure = draw_scatter(content)
    handles = figure.legends[0].get_lines()
    assert [handle.get_label() for handle in handles] == ["first", "second"]
    assert len({(handle.get_color(), handle.get_marker()) for handle in handles}) == 2
    assert overlaps(figure) == []


def test_curves_of_several_sweeps_share_panels_with_a_line_style_each() -> None:
    def one_lr(name: str, error: float) -> Results:
        config = make_config(lr=0.1, epochs=2)
        epochs = {config.trial_key: [make_epoch(1, 2 * error), make_epoch(2, error)]}
        return Results(name, group_repeats([make_trial(config, error)]), epochs=lambda: epochs)

    first = one_lr("first", 8.0)
    drawn = draw("all", Results("first", first.cells, epochs=first.epochs, beside=[one_lr("second", 9.0)]))
    assert list(drawn) == ["learning_curves_with_second"]
    axes, *_, below = drawn["learning_curves_with_second"].axes
    legend = below.get_legend()
    assert legend is not None
    styles = {line.get_label(): line.get_linestyle() for line in legend.get_lines()}
    assert styles == {"batch size 128, lr 0.1": "None", "sweep first": "-", "sweep second": "--"}
    assert [np.asarray(line.get_ydata()).tolist() for line in axes.lines] == [[16.0, 8.0], [18.0, 9.0]]
    assert len({line.get_linestyle() for line in axes.lines}) == 2
    assert len({line.get_color() for line in axes.lines}) == 1  # the same configuration


def test_roles_are_told_apart_in_the_name_of_the_file() -> None:
    asked = (Roles(x="lr", y="seed"), Roles(x="lr", color="seed"), Roles(y="lr", color="seed"), Roles(color="lr"))
    assert ["_".join(roles.words()) for roles in asked] == [
        *("lr_seed", "lr_color-seed", "y-lr_color-seed", "color-lr"),
    ]


def test_what_hides_a_figure_is_told() -> None:
    results = dataclasses.replace(searched(), roles=Roles(x="stopped_epoch"))
    with pytest.raises(UserError, match="empty: no trial has a value of each: stopped_epoch, objective"):
        draw("scatter", results)
    running = dataclasses.replace(grid(), is_running=True)
    with pytest.raises(UserError, match=r"--x momentum: it is 0.9 in all trials of mine so far; what varies"):
        resolved(Roles(x="momentum"), [running])


def test_sweeps_are_a_role_where_there_are_several() -> None:
    sweeps = [
        SweepTrials(
            name, [dataclasses.replace(trial, row=dataclasses.replace(trial.row, sweep=name)) for trial in own]
        )
        for name, own in (("first", grid().trials), ("second", grid(optimizer="adamw").trials))
    ]
    assert names(Roles(color="sweep"), *sweeps) == names(Roles(), *sweeps)
    figure = draw_scatter(scatter(sweeps, Roles(panel="sweep")))
    assert [axes.get_title() for axes in figure.axes] == ["sweep first", "sweep second"]


def test_the_command_draws_several_searches_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ("--store", str(EXAMPLES / "search_against_grid"), "--to", str(tmp_path))
    assert tune_main.main(["plot", "tpe_asha", "grid", "--x", "batch_size", *store]) == 0
    said = capsys.readouterr()
    stem = tmp_path / "scatter_batch_size_with_grid"
    assert said.out.split() == [f"{stem}.svg", f"{stem}.png"]
    edge = "trials without a final value, at the edge: 18 stopped early (|)"
    assert said.err == f"scatter: {edge}; 3 points on others\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tpe_asha", "tpe_asha"), "tpe_asha is named twice"),
        (("tpe_asha", "grid", "--figure", "heat_map"), "several sweeps are drawn together in scatter, "),
        (
            ("tpe_asha", "--x", "lr", "--figure", "heat_map"),
            "--x says what is on the figure scatter, ",
        ),
        (("tpe_asha", "grid", "published"), "leave out `published`"),
        (("published", "--x", "lr"), "name one in place of `published`"),
        (("published", "grid"), "write `plot SWEEP --against published`"),
    ],
)
def test_what_cannot_be_drawn_together_is_refused(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune_main.main(["plot", *arguments, "--store", str(EXAMPLES / "search_against_grid")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err
