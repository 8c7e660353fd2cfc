"""Write the two Parquet files of a sweep again, with a data card, to any place that pyarrow can write to; or show the
sweep, finished or not, in MLflow, W&B or TensorBoard, which the same command brings up to date; or show a search in
optuna-dashboard."""

import argparse
from typing import TYPE_CHECKING

from cli.options import add_store, add_sweep, not_empty, output_folder, output_location
from trainable.wording import counted, say

if TYPE_CHECKING:
    import pyarrow as pa

SUMMARY = "write the Parquet files again, anywhere, or show the sweep in MLflow, W&B, TensorBoard or Optuna"
EXAMPLES = (
    "export quickstart",
    "export quickstart --to s3://bucket/prefix",
    "export my_search --optuna sqlite:///search.db",
    "export quickstart --mlflow sqlite:///mlflow.db",
    "export quickstart --wandb my_project",
    "export quickstart --tensorboard logs",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_store(parser)
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--to", type=output_location, metavar="DIR", help="a folder, or a URI such as s3://bucket/prefix"
    )
    target.add_argument(
        "--optuna", type=not_empty, metavar="URL", help="write a search as a study into this storage: sqlite:///FILE"
    )
    target.add_argument(
        "--mlflow",
        type=not_empty,
        metavar="URI",
        help="write the sweep as an experiment: sqlite:///FILE, or a server's http://HOST:PORT (pip install "
        "mlflow-skinny)",
    )
    target.add_argument(
        "--wandb",
        type=not_empty,
        metavar="NAME",
        help="write the sweep as a group of this W&B project, with WANDB_MODE=offline into ./wandb (pip install "
        "wandb)",
    )
    target.add_argument(
        "--tensorboard", type=output_folder, metavar="DIR", help="write event files, with the HPARAMS page"
    )


def run(arguments: argparse.Namespace) -> int:
    from results.parquet.collect import Collector
    from results.parquet.files import export_into_store, export_tables
    from results.store.opening import open_store

    store = open_store(arguments.store)
    manifest = store.manifest(arguments.sweep)
    trials, epochs = Collector(store, manifest).tables()
    if arguments.optuna:
        from sweep.search.optuna_export import export_search

        say(export_search(store, manifest.name, trials, arguments.optuna))
        return 0
    if (shown := _shown_in_tracker(arguments, manifest.name, trials, epochs)) is not None:
        say(shown)
        return 0
    if arguments.to:
        target = export_tables(trials, epochs, arguments.to)
    else:
        target = export_into_store(trials, epochs, store, manifest.name)
    superseded = sum(trials["superseded"].to_pylist())
    kept = f" ({superseded} of them superseded)" if superseded else ""
    say(f"{counted(len(trials), 'trial')}{kept} and {counted(len(epochs), 'epoch')} written to {target}")
    return 0


def _shown_in_tracker(
    arguments: argparse.Namespace, sweep: str, trials: "pa.Table", epochs: "pa.Table"
) -> str | None:
    """Export to the tracker that was asked for and return what to tell the user; None if none was."""
    from sweep.trackers.runs import tracked_runs

    if arguments.mlflow:
        from sweep.trackers.mlflow_export import export_mlflow

        return export_mlflow(sweep, tracked_runs(trials, epochs), arguments.mlflow)
    if arguments.wandb:
        from sweep.trackers.wandb_export import export_wandb

        return export_wandb(sweep, tracked_runs(trials, epochs), arguments.wandb)
    if arguments.tensorboard:
        from sweep.trackers.tensorboard_export import export_tensorboard

        return export_tensorboard(sweep, tracked_runs(trials, epochs), arguments.tensorboard)
    return None
