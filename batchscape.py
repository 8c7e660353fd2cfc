"""Batchscape from Python: `from batchscape import load, run`.

`run` trains a space, as the command `run` does, and `load` gives the results of a sweep as pandas tables and figures:

    sweep = run({"name": "lrs", "defaults": {"epochs": 5}, "grid": {"lr": [0.05, 0.1, 0.2]}})
    sweep.trials.groupby("lr")["test_error_percent"].mean()

Neither uses nor hides packages of yours that are called `models` or `results`, as some of ours are.
"""

import contextlib
import html
import importlib.machinery
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow
    from matplotlib.figure import Figure

    from results.figures.figure_data import Results

__all__ = ["InputError", "Plot", "RunError", "Sweep", "load", "run"]

FOLDER = Path(__file__).resolve().parent
PACKAGES = ("cli", "sweep", "results", "search_spaces", "trainable", "models")
DEFAULT_STORE = "runs"
PUBLISHED = "published"
NUMPY_TYPES = {
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "FIU" for size in (1, 2, 4, 8)},
    "C64": "<c8",
    "BOOL": "?",
}
"""Type of a stored tensor -> its name in NumPy."""
MAX_SHOWN_LINES = 20
"""Largest number of lines of a table that a notebook shows of itself."""


class InputError(ValueError):
    """The arguments, a file or the machine do not allow what was asked for; one line says what to write instead."""


class RunError(RuntimeError):
    """A run ended with trials that failed or are left; what was trained is kept, and the same call resumes."""


class Plot:
    """One figure of a sweep on one or more pages. A notebook shows it."""

    def __init__(self, name: str, pages: "Mapping[str, Figure]") -> None:
        self.name = name
        self.figures = list(pages.values())
        """The pages as figures of matplotlib."""
        self._pages = pages

    def __repr__(self) -> str:
        return f"<Plot {self.name}>"

    def save(self, folder: str | os.PathLike[str] = ".") -> list[Path]:
        """Write each page as SVG and PNG into a folder, and return the paths."""
        with _our_packages():
            from results.figures.style import save

            return [path for stem, page in self._pages.items() for path in save(page, Path(folder) / stem)]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        with _our_packages():
            from results.figures.style import image
            from results.report.figures import inline_svg

            if len(self.figures) == 1:
                shown = {"image/svg+xml": image(self.figures[0], "svg").decode()}
            else:
                shown = {"text/html": "\n".join(inline_svg(stem, page) for stem, page in self._pages.items())}
        return {"text/plain": repr(self), **shown}


class Sweep:
    """The results of a sweep as they were when it was loaded."""

    def __init__(self, name: str, trials: "pyarrow.Table", epochs: "pyarrow.Table", store: str = "") -> None:
        self.name = name
        self._trials = trials
        self._epochs = epochs
        self._store = store

    @cached_property
    def trials(self) -> "pandas.DataFrame":
        """A row for each trial, with the columns of docs/results-schema.md. Superseded trainings are left out."""
        return _frame(self._trials)

    @cached_property
    def epochs(self) -> "pandas.DataFrame":
        """A row for each epoch of these trials."""
        return _frame(self._epochs)

    def best(self) -> dict[str, Any]:
        """Return the best configuration, as the command `best` chooses it.

        Returns:
            `test_error_percent` (the mean over its runs; None if none has finished on all training images),
            `num_runs`, `config` (its training fields) and `varied` (names of the fields in which the sweep's
            configurations differ).

        Raises:
            InputError: no trial has finished, or a search has several objectives.
        """
        with _our_packages():
            from sweep.status.best import best_configuration

            best = best_configuration(self.name, self._trials)
            errors, config = best.cell.test_errors, best.cell.config.to_dict()
            mean = sum(errors) / len(errors) if errors else None
            return {"test_error_percent": mean, "num_runs": len(errors), "config": config, "varied": best.varied}

    def table(self, *, mean: bool = False, sort: str | None = None) -> str:
        """Return the table in Markdown, in the form of the published ones.

        Args:
            mean: add the mean and the standard deviation over the repeats.
            sort: name of a column in CSV, which sorts the rows; `NAME:desc` puts the largest first.
        """
        with _our_packages():
            from results.tables.search_table import sweep_table

            return sweep_table(self._trials, "markdown", with_mean=mean, sort=sort)

    def plot(self, figure: str = "error_by_lr", *, published: bool = False, **fields: str) -> Plot:
        """Draw a figure; the command `plot --help` lists the names.

        Args:
            published: draw the published rows, too.
            fields: what is on the axes of a `scatter`: `x`, `y`, `color` and `panel`, as in the command.

        Raises:
            InputError: no such figure, or nothing to draw.
        """
        with _our_packages():
            from results.figures.fields import Roles
            from results.figures.gallery import draw

            if fields and figure != "scatter":
                raise InputError(f"{', '.join(fields)}: only the figure 'scatter' takes fields")
            return Plot(figure, draw(figure, replace(self._results(published=published), roles=Roles(**fields))))

    def weights(self, key: str | None = None) -> "dict[str, numpy.ndarray]":
        """Return the kept weights of a trial, as the names and arrays of its model's state dict.

        Args:
            key: the trial's key or its beginning; None for the best trial.

        Raises:
            InputError: there is no such trial, or its weights are not kept or damaged.
        """
        import numpy

        _check_paths(key="best" if key is None else key)
        with _our_packages():
            from results.store.opening import open_store
            from sweep.trial_weights import find_weights

            store = open_store(self._store) if self._store else None
            if store is None or store.find_manifest(self.name) is None:
                raise InputError(f"{self.name}: only the store in which a sweep was trained holds weights")
            tensors = find_weights(store, self.name, key).weights.tensors
        return {
            name: numpy.frombuffer(tensor.content, NUMPY_TYPES[tensor.dtype]).reshape(tensor.shape).copy()
            for name, tensor in tensors.items()
        }

    def _results(self, *, published: bool) -> "Results":
        from results.figures.figure_data import Results
        from results.parquet.search_results import read_search
        from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table

        cells, search = group_repeats(trials_from_table(self._trials)), read_search(self._trials)
        return Results(self.name, cells, published, lambda: epochs_from_table(self._epochs), search)

    def __repr__(self) -> str:
        complete = int((self.trials["status"] == "COMPLETE").sum())
        return f"<Sweep {self.name}: {complete} of {len(self.trials)} trials complete>"

    def _repr_html_(self) -> str:
        lines = self.table().splitlines()
        more = ["..."] * (len(lines) > MAX_SHOWN_LINES)
        return f"<pre>{html.escape(chr(10).join([repr(self), '', *lines[:MAX_SHOWN_LINES], *more]))}</pre>"


class Published(Sweep):
    """The published results. They have no epochs."""

    def __init__(self) -> None:
        with _our_packages():
            from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA

            super().__init__(PUBLISHED, TRIALS_SCHEMA.empty_table(), EPOCHS_SCHEMA.empty_table())

    @cached_property
    def trials(self) -> "pandas.DataFrame":
        """A row for each published result, with the name of its table."""
        import pandas

        with _our_packages():
            from results.published.cells import all_cells

            return pandas.DataFrame(all_cells()).drop(columns="error_printed")

    def best(self) -> dict[str, Any]:
        """Return the published row with the lowest error, in the form of `Sweep.best`."""
        with _our_packages():
            from results.published.cells import all_cells

            best = min(all_cells(), key=lambda cell: cell.test_error_percent)
            config = best.configuration._asdict()
        error = best.test_error_percent
        return {"test_error_percent": error, "num_runs": best.num_runs, "config": config, "varied": [*config]}

    def table(self, name: str = "all", *, mean: bool = False, sort: str | None = None) -> str:
        """Return published tables as they were printed: the first 16, the `sequel`, or one by its name."""
        with _our_packages():
            from results.published.tables import published_table

            return published_table(name, "markdown")

    def _results(self, *, published: bool) -> "Results":
        from results.figures.figure_data import Results

        return Results(published=True)

    def __repr__(self) -> str:
        return f"<Sweep {self.name}: {len(self.trials)} results>"


def load(sweep: str | os.PathLike[str], store: str | os.PathLike[str] | None = None) -> Sweep:
    """Load the results of a sweep as they are now; a sweep that runs can be loaded again and again.

    Args:
        sweep: a sweep's folder (`"runs/quickstart"`), its name in the store, a folder of exported Parquet files, or
            `"published"` for the published results. Folders may be URIs such as s3://bucket/prefix/quickstart.
        store: the store, a folder or a URI; by default that of the folder, and `runs` for a mere name.

    Raises:
        InputError: there is no such sweep (the message names the nearest), or its files are damaged.
    """
    _check_paths(sweep=sweep, store=DEFAULT_STORE if store is None else store)
    if str(sweep) == PUBLISHED and store is None:
        return Published()
    with _our_packages():
        from results.parquet.loading import load_tables, split
        from results.parquet.schema import METADATA_PREFIX
        from trainable.ledger.noticed import noticing

        location, name = split(sweep, store)
        with noticing() as damaged:
            trials, epochs = load_tables(location, name)
        metadata = trials.schema.metadata or {}
        name = metadata.get(f"{METADATA_PREFIX}sweep".encode(), name.encode()).decode()
    for record in damaged:
        warnings.warn(f"{record} is damaged and left out: the command `verify` says what to do", stacklevel=2)
    return Sweep(name, trials, epochs, location)


def run(
    space: Mapping[str, Any] | str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] = DEFAULT_STORE,
    data: str | os.PathLike[str] | None = None,
    name: str | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002 (as the option)
    scale: str | None = None,
    **options: object,
) -> Sweep:
    """Make the store hold the trials of a space, and load the sweep: the command `run` in a process of its own.

    Finished trials are reused and unfinished ones resumed. The process prints its progress here. An interrupt stops
    it with checkpoints written.

    Args:
        space: name of a shipped space, path of a YAML file, or the content of one as a dict. Paths in a dict are
            relative to the current folder.
        store: a folder, or a URI such as s3://bucket/prefix.
        data: folder of the data set.
        name: name of the sweep; by default the space's.
        set: training fields and their values, in place of what the space says.
        scale: one of the space's scales.
        options: any other option of the command, with _ for each -: `extend`, `again`, `label`, `cpus_per_trial`,
            `gpus_per_trial`, `max_concurrent`, `time_limit="2h"`, `fail_fast`, `address`, `min_nodes`, `compile`,
            `log`. True stands for an option without a value; None and False leave one out.

    Raises:
        InputError: the space, an option, the data or the machine do not allow it. Nothing is created.
        RunError: trials failed or are left, or something ended the run, for example a full disk.
        KeyboardInterrupt: the run was interrupted; the same call resumes.
    """
    _check_paths(store=store, space="a dict" if isinstance(space, Mapping) else space)
    if isinstance(space, Mapping):
        return _run_dict(space, store=store, data=data, name=name, set=set, scale=scale, **options)
    with _our_packages():
        from cli import child
        from results.parquet.loading import expanded

        given = options | {"store": expanded(store), "data": data and expanded(data), "name": name, "scale": scale}
        arguments = ["run", os.fspath(space), *child.arguments_of(given, {} if set is None else set)]
        sweep = name or child.default_name(os.fspath(space), scale)
    end = child.run_child(arguments)
    if end.is_interrupted:
        raise KeyboardInterrupt
    if end.code:
        raise (InputError if end.is_refused else RunError)(end.reason)
    return load(sweep, store)


def _run_dict(space: Mapping[str, Any], **options: Any) -> Sweep:  # noqa: ANN401 (those of `run`)
    """Run a space from a file that is gone at the end, so that messages name keys without it."""
    if not (options["name"] or space.get("name")):
        raise InputError("the space has no name: add `name` to it, or give run(..., name=...)")
    with contextlib.ExitStack() as stack:
        with _our_packages():
            from cli.child import space_file

            path = stack.enter_context(space_file(space))
        try:
            return run(path, **options)
        except (InputError, RunError) as error:
            raise type(error)(re.sub(rf"{re.escape(path)}(:\d+)?", "the space", str(error))) from None


def _check_paths(**arguments: object) -> None:
    """Refuse arguments that are neither a text nor a path, or empty."""
    for name, value in arguments.items():
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise InputError(f"{name} must be a path or a name, got {value!r}")


_ours: dict[str, ModuleType] = {}
"""Modules of ours, by name; while none of our functions runs, `sys.modules` holds none of them."""
_lock = threading.RLock()
_entered = False


class _Finder:
    """Finds our packages in our folder, before anybody else looks for them."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.PathFinder.find_spec(name, [str(FOLDER)]) if name in PACKAGES else None


@contextlib.contextmanager
def _our_packages() -> Iterator[None]:
    """Inside this context the names of our packages mean ours; outside they mean what they meant before.

    Raises:
        InputError: the block raised a UserError.
    """
    global _entered
    with _lock:
        if _entered:
            yield
            return
        theirs = _taken_out()
        sys.modules.update(_ours)
        sys.meta_path.insert(0, _Finder)
        _entered = True
        try:
            from trainable.errors import UserError
            from trainable.wording import printable_line

            try:
                yield
            except UserError as error:
                raise InputError(printable_line(str(error))) from None
        finally:
            _entered = False
            sys.meta_path.remove(_Finder)
            _ours.update(_taken_out())
            sys.modules.update(theirs)


def _taken_out() -> dict[str, ModuleType]:
    """Take all modules with the names of our packages out of `sys.modules`."""
    names = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    return {name: sys.modules.pop(name) for name in names}


def _frame(table: "pyarrow.Table") -> "pandas.DataFrame":
    frame = table.to_pandas()
    return frame[~frame["superseded"]].reset_index(drop=True)
