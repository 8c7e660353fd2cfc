"""Draw figures of a sweep as SVG and PNG. Several sweeps are drawn together. The word `published` in
place of the sweep draws the published rows."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import PUBLISHED, add_store, output_folder
from results.figures import ALL, FIGURE_NAMES, SCATTER, SEARCH_FIGURE_NAMES, TOGETHER, chosen_names
from trainable.errors import UserError
from trainable.wording import say

if TYPE_CHECKING:
    from results.figures.figure_data import Results
    from results.parquet.search_results import SearchResults
    from results.store.store import Store

ROLES = {
    "x": f"draw a {SCATTER} with this on the horizontal axis: a training field, a variable, a result column of "
    "`trials`, or `objective` (default: the field that matters most)",
    "y": "the same for the vertical axis (default: the test error, or the objective of a search)",
    "color": "what colours tell (default: the next field by importance, or the sweeps)",
    "panel": "what has panels of its own, `sweep` if there are several (default: a further field with few values)",
}
SUMMARY = "draw figures (SVG and PNG) of a sweep, of the published rows, or of both"
EXAMPLES = (
    "plot quickstart",
    "plot quickstart --against published",
    "plot my_sweep --x weight_decay --y test_error_percent --color lr --panel batch_size",
    "plot my_sweep other_sweep",
    "plot published --figure heat_map",
    "plot my_sweep --figure learning_curves --curves 25-48",
    "plot my_search --against other_search --figure best_by_epochs",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sweeps",
        nargs="+",
        metavar="SWEEP|published",
        help=f"a sweep in the store, or the published rows; several sweeps share {', '.join(TOGETHER)}",
    )
    parser.add_argument(
        "--figure",
        default="all",
        metavar="NAME",
        help=f"one of {', '.join(FIGURE_NAMES)}; for a search also {', '.join(SEARCH_FIGURE_NAMES)}; "
        f"{SCATTER} (default: all of them but {SCATTER})",
    )
    for option, words in ROLES.items():
        parser.add_argument(f"--{option}", metavar="FIELD", help=words)
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
    from results.figures.fields import Roles
    from results.figures.ranks import parse_ranks

    figure, roles = arguments.figure, Roles(**{role: getattr(arguments, role) for role in ROLES})
    chosen_names(figure)  # refuses a wrong name before anything is read
    named = next(iter(roles.named()), None)
    if named and figure not in (ALL, SCATTER):
        raise UserError(f"--{named} says what is on the figure {SCATTER}, not on {figure}")
    if named:
        figure = SCATTER
    curves = None if arguments.curves is None else parse_ranks(arguments.curves)
    if arguments.sweeps[0] == PUBLISHED:
        return _plot_published(arguments, figure)

    from results.store.opening import open_store
    from results.store.sweep_files import FIGURES

    store = open_store(arguments.store)
    sweep, *others = (name for name in arguments.sweeps if name != PUBLISHED)
    against = [*arguments.against, *(PUBLISHED for name in arguments.sweeps if name == PUBLISHED)]
    _check_together(arguments.sweeps, figure, against)
    results = _results(store, sweep)
    results = replace(
        results,
        published=PUBLISHED in against,
        against=_searches(store, results, [name for name in against if name != PUBLISHED]),
        curves=curves,
        roles=roles,
        beside=[_results(store, name) for name in others],
    )
    if arguments.to:
        _draw(figure, results, Path(arguments.to))
        return 0
    with store.writing(sweep) as scratch:
        paths = list(_saved(figure, results, scratch / FIGURES))
    for path in paths:
        say(store.location(sweep, path.relative_to(scratch).as_posix()))
    _print_notes(results)
    return 0


def _check_together(sweeps: Sequence[str], figure: str, against: Sequence[str]) -> None:
    """Refuse what cannot be drawn together."""
    if twice := [name for name, count in Counter(sweeps).items() if count > 1]:
        raise UserError(f"plot {' '.join(sweeps)}: {twice[0]} is named twice")
    num_sweeps = len([name for name in sweeps if name != PUBLISHED])
    if PUBLISHED in against and (num_sweeps > 1 or figure == SCATTER):
        raise UserError(f"published rows are drawn with one sweep, and not in {SCATTER}: leave out `{PUBLISHED}`")


def _results(store: "Store", sweep: str) -> "Results":
    from results.figures.figure_data import Results
    from results.parquet.files import read_epochs, read_trials
    from results.parquet.schema import METADATA_PREFIX
    from results.parquet.search_results import read_search
    from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table

    table = read_trials(store, sweep)
    num_planned = (table.schema.metadata or {}).get(f"{METADATA_PREFIX}num_planned".encode(), b"0")
    return Results(
        sweep,
        group_repeats(trials_from_table(table)),
        epochs=lambda: epochs_from_table(read_epochs(store, sweep)),
        search=read_search(table),
        is_running=table.num_rows < int(num_planned),
    )


def _searches(store: "Store", results: "Results", names: Sequence[str]) -> dict[str, "SearchResults"]:
    """Return other searches by name, which are drawn beside that of the results.

    Raises:
        UserError: one of them, or the sweep itself, is no search.
    """
    searches = {}
    for name in names:
        search = _results(store, name).search
        if results.search is None or search is None:
            raise UserError(f"--against {name}: {results.sweep if results.search is None else name} is no search")
        searches[name] = search
    return searches


def _plot_published(arguments: argparse.Namespace, figure: str) -> int:
    from results.figures.figure_data import Results
    from results.store.sweep_files import FIGURES

    if others := [*arguments.sweeps[1:], *arguments.against]:
        raise UserError(f"plot published and {others[0]}: write `plot SWEEP --against published`")
    if figure == SCATTER:
        raise UserError(f"{SCATTER} draws the trials of a sweep: name one in place of `{PUBLISHED}`")
    _draw(figure, Results(published=True), Path(arguments.to or FIGURES))
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
