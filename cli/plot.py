"""Draw figures of a sweep as SVG and PNG; or, with the word `published` in the place of the sweep, of the
published rows."""

import argparse
from pathlib import Path

from cli.options import PUBLISHED, add_store, output_folder
from results.figures import FIGURE_NAMES, SEARCH_FIGURE_NAMES
from trainable.errors import UserError

SUMMARY = "draw figures (SVG and PNG) of a sweep, of the published rows, or of both"
EXAMPLES = (
    "plot quickstart",
    "plot quickstart --against published",
    "plot published --figure heat_map",
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
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.sweep == PUBLISHED:
        return _plot_published(arguments)

    from results.figures.gallery import Results, draw
    from results.figures.style import save
    from results.parquet.files import read_epochs, read_trials
    from results.parquet.search_results import read_search
    from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table
    from results.store.opening import open_store
    from results.store.store import FIGURES

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
    )
    for name in others:
        if results.search is None or name not in results.against:
            raise UserError(f"--against {name}: {sweep if results.search is None else name} is no search")
    figures = draw(arguments.figure, results)
    if arguments.to:
        for stem, figure in figures.items():
            for path in save(figure, Path(arguments.to) / stem):
                print(path)
        return 0
    with store.writing(sweep) as scratch:
        paths = [path for stem, figure in figures.items() for path in save(figure, scratch / FIGURES / stem)]
    for path in paths:
        print(store.location(sweep, path.relative_to(scratch).as_posix()))
    return 0


def _plot_published(arguments: argparse.Namespace) -> int:
    from results.figures.gallery import Results, draw
    from results.figures.style import save
    from results.store.store import FIGURES

    if arguments.against:
        raise UserError(f"plot published --against {arguments.against[0]}: write `plot SWEEP --against published`")
    for stem, figure in draw(arguments.figure, Results(published=True)).items():
        for path in save(figure, Path(arguments.to or FIGURES) / stem):
            print(path)
    return 0
