"""Which figures there are, what they refuse, and the command that writes them."""

import dataclasses
import itertools
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from results.figures import FIGURE_NAMES, SEARCH_FIGURE_NAMES
from results.figures.figure_data import Results
from results.figures.gallery import DRAWERS, draw
from results.figures.search_gallery import SEARCH_DRAWERS
from results.figures.style import HATCHES, heading_handle, keep_apart, legend_beside, look, save
from results.parquet.trials import group_repeats
from tests.conftest import ROOT, Cli
from tests.results_tests.result_samples import make_config, make_epoch, make_trial
from trainable.errors import UserError

CONFIG = make_config(epochs=1)
SINGLE = Results(
    "mine", group_repeats([make_trial(CONFIG, 9.0)]), epochs=lambda: {CONFIG.trial_key: [make_epoch(1, 9.0)]}
)
GRID = [make_config(epochs=epochs, batch_size=size, lr=size / 1280) for size in (64, 128) for epochs in (1, 2)]
SWEEP = Results(
    "mine",
    group_repeats(make_trial(config, 9.0, total_seconds=60.0 * config.epochs) for config in GRID),
    epochs=lambda: {GRID[0].trial_key: [make_epoch(1, 9.0)]},
)
DIVERGED = Results("mine", group_repeats([make_trial(CONFIG, None, status="DIVERGED")]))
NO_INSIGHT = "insight is left out: no batch size has runs at enough learning rates to tell the best one"
PUBLISHED = Results(published=True)
EXAMPLES = ROOT / "results" / "examples"


def test_every_name_has_a_drawer() -> None:
    assert (tuple(DRAWERS), tuple(SEARCH_DRAWERS)) == (FIGURE_NAMES, SEARCH_FIGURE_NAMES)


def test_all_leaves_out_what_would_be_empty() -> None:
    assert tuple(draw("all", SWEEP)) == tuple(name for name in FIGURE_NAMES if name != "insight")
    assert SWEEP.notes == [NO_INSIGHT]
    published = [name for name in FIGURE_NAMES if name != "learning_curves"]
    assert [*draw("all", PUBLISHED)] == ["error_by_lr", "error_by_lr_2", *published[1:], "insight_2", "insight_3"]


def test_what_nobody_expects_has_no_line() -> None:
    """Figures of searches are not said to be left out of the page of a grid."""
    draw("all", results := dataclasses.replace(SWEEP, notes=[], left_out={}))
    assert [*results.left_out] == ["insight"]


def test_the_insight_of_a_sweep_names_it_and_what_varies() -> None:
    grid = itertools.product((32, 64, 128), range(-3, 4), (1e-4, 1e-3))
    configs = [make_config(epochs=1, batch_size=size, lr=0.1 * 2**n, weight_decay=decay) for size, n, decay in grid]
    trials = [make_trial(config, 8 + math.log2(config.lr / 0.1) ** 2 + config.lr / 9) for config in configs]
    found = draw("insight", Results("mine", group_repeats(trials))).values()
    assert [figure.axes[0].get_title() for figure in found] == [
        f"mine, ResNet-preact-20, cosine, 1 epoch, weight decay {decay}" for decay in ("0.0001", "0.001")
    ]


def test_a_figure_of_one_point_is_left_out_with_a_line() -> None:
    assert list(draw("all", SINGLE)) == ["learning_curves"]
    assert SINGLE.notes == [
        "error_by_lr is left out: only one configuration has an error",
        "error_by_epochs is left out: the number of epochs does not vary",
        "heat_map is left out: only one configuration has an error",
        "pareto_front is left out: only one configuration has an error",
        NO_INSIGHT,
    ]
    with pytest.raises(UserError, match="figure 'heat_map' would be empty: only one configuration"):
        draw("heat_map", SINGLE)


@pytest.mark.parametrize(
    ("name", "results", "message"),
    [
        ("learning_curves", PUBLISHED, "no published learning curves"),
        ("heat_map", DIVERGED, "no finished trial"),
        ("insight", SWEEP, "no batch size has runs at enough learning rates"),
        ("all", DIVERGED, "every figure would be empty"),
        *((name, SWEEP, "not a search") for name in SEARCH_FIGURE_NAMES),
        ("heatmap", SWEEP, "did you mean 'heat_map'"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(name: str, results: Results, message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw(name, results)


def test_published_figures_are_drawn_alike_and_are_small(tmp_path: Path) -> None:
    """Drawing twice gives the same bytes; the committed figures name the version of matplotlib that drew them."""
    second = draw("all", PUBLISHED)
    for name, figure in draw("all", PUBLISHED).items():
        svg, _ = save(figure, tmp_path / name)
        again, _ = save(second[name], tmp_path / "again" / name)
        assert svg.read_bytes() == again.read_bytes()
        committed = EXAMPLES / "published" / svg.name
        assert 1000 < committed.stat().st_size < 120_000


def test_the_looks_of_24_series_differ_without_colour() -> None:
    looks = [look(index) for index in range(24)]
    assert len(set(looks)) == 24
    assert len({(each.color, each.line) for each in looks}) == 24
    assert len({each.marker for each in looks[:12]}) == len({each.hatch for each in looks[:12]}) == 12 == len(HATCHES)


def test_entries_that_would_be_alike_are_not_shortened() -> None:
    labels = [
        f"weight decay {decay}, label_smoothing {n}, augmentation none" for decay in (0, 0.001) for n in (0, 0.1)
    ]
    axes = Figure().subplots()
    legend_beside(axes, "", [("", [heading_handle(label) for label in labels])])
    legend = axes.get_legend()
    assert legend is not None
    assert len({text.get_text() for text in legend.get_texts()}) == 4


def test_labels_with_a_higher_rank_are_kept() -> None:
    assert keep_apart([(0, 10), (8, 18), (20, 30)], [1, 1, 1], 1.0) == [1, 2]
    assert keep_apart([(0, 10), (8, 18), (20, 30)], [2, 1, 1], 1.0) == [0, 2]
    assert keep_apart([(0, 10), (11, 20)], [1, 1], 2.0) == [1]


def test_the_command_draws_both_together(tmp_path: Path, cli: Cli) -> None:
    options = ("--store", str(EXAMPLES), "--figure", "pareto_front", "--to", "out")
    done = cli("plot", "quickstart", "--against", "published", *options)
    assert (done.returncode, done.stdout.split()) == (0, ["out/pareto_front.svg", "out/pareto_front.png"])
    assert (tmp_path / "out" / "pareto_front.png").read_bytes().startswith(b"\x89PNG")


def test_published_alone_goes_to_figures(tmp_path: Path, cli: Cli) -> None:
    assert cli("plot", "published", "--figure", "heat_map").stdout.split() == [
        "figures/heat_map.svg",
        "figures/heat_map.png",
    ]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["heat_map.png", "heat_map.svg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: SWEEP|published"),
        (("published", "--figure", "learning_curves"), "would be empty"),
        (("published", "--figure", "pareto"), "did you mean 'pareto_front'"),
    ],
)
def test_mistakes_are_one_line(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    refused = cli("plot", *arguments)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert message in refused.stderr
