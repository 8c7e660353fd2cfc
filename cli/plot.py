"""Draw figures of a sweep as SVG and PNG. The word `published` in place of the sweep draws the
published rows."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import PUBLISHED, add_store, output_folder
from results.figures import FIGURE_NAMES, SEARCH_FIGURE_NAMES, chosen_names
from trainable.errors import UserError
from trainable.wording import say

if TYPE_CHECKING:
    from results.figures.gallery import Results

SUMMARY = "draw figures (SVG and PNG) of a sweep, of the published rows, or of both"
EXAMPLES = (
    "plot quickstart",
    "plot quickstart --against published",
    "plot published --figure heat_map",
    "plot my_sweep --figure learning_curves --curves 25-48",
    "plot my_search --against other_search --figure best_by_epochs",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP|published", help="a sweep in the store, or the published rows")
    parser.add_argument(
        "--figure",
        default="all",
        metavar="NAME",
        help=f"one of {', '.join(FIGURE_NAMES)}; for a search also {', '.join(SEARCH_FIGURE_NAMES)} (default: all)",
    )
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="SWEEP|published",
        help="draw the published rows, too; or another search of the store in best_by_epochs; repeatable",
    )
    parser.add_argument(
        "--to", type=output_folder, metavar="DIR", help="default: STORE/SWEEP/figures; ./figures for `published`"
    )
    parser.add_argument(
        "--curves",
        metavar="N|N-M|all",
        help="the configurations of learning_curves: the best N, those at ranks N to M, or all of them (default: the "
        "best 24, in a search the best 8)",
    )
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.figures.ranks import parse_ranks

    chosen_names(arguments.figure)  # refuses a wrong name before anything is read
    curves = None if arguments.curves is None else parse_ranks(arguments.curves)
    if arguments.sweep == PUBLISHED:
        return _plot_published(arguments)

    from results.figures.gallery import Results
    from results.parquet.files import read_epochs, read_trials
    from results.parquet.search_results import read_search
    from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table
    from results.store.opening import open_store
    from results.store.sweep_files import FIGURES

    store, sweep = open_store(arguments.store), arguments.sweep
    table = read_trials(store, sweep)
    others = [name for name in arguments.against if name != PUBLISHED]
    results = Results(
        sweep,
        group_repeats(trials_from_table(table)),
        PUBLISHED in arguments.against,
        lambda: epochs_from_table(read_epochs(store, sweep)),
        read_search(table),
        {name: search for name in others if (search := read_search(read_trials(store, name)))},
        curves=curves,
    )
    for name in others:
        if results.search is None or name not in results.against:
            raise UserError(f"--against {name}: {sweep if results.search is None else name} is no search")
    if arguments.to:
        _draw(arguments.figure, results, Path(arguments.to))
        return 0
    with store.writing(sweep) as scratch:
        paths = list(_saved(arguments.figure, results, scratch / FIGURES))
    for path in paths:
        say(store.location(sweep, path.relative_to(scratch).as_posix()))
    _print_notes(results)
    return 0


def _plot_published(arguments: argparse.Namespace) -> int:
    from results.figures.gallery import Results
    from results.store.sweep_files import FIGURES

    if arguments.against:
        raise UserError(f"plot published --against {arguments.against[0]}: write `plot SWEEP --against published`")
    _draw(arguments.figure, Results(published=True), Path(arguments.to or FIGURES))
    return 0


def _draw(figure: str, results: "Results", folder: Path) -> None:
    """Write figures into a folder and print their paths, then what they do not show."""
    for path in _saved(figure, results, folder):
        say(path)
    _print_notes(results)


def _saved(figure: str, results: "Results", folder: Path) -> Iterator[Path]:
    """Write one page after the other into a folder."""
    from results.figures.gallery import pages
    from results.figures.style import save

    for stem, page in pages(figure, results):
        yield from save(page, folder / stem)


def _print_notes(results: "Results") -> None:
    for note in results.notes:
        say(note, file=sys.stderr)
