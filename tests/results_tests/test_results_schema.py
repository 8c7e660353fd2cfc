"""The columns of both tables: what other programs rely on. A change here raises SCHEMA_VERSION."""

import pyarrow as pa
import pytest

from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA
from trainable.config import FIELD_NAMES
from trainable.records import SCHEMA_VERSION

TIME = "timestamp[us, tz=UTC]"
TRIALS = [
    ("sweep", "string", False),
    ("trial_key", "string", False),
    ("superseded", "bool", False),
    ("generation", "int64", False),
    ("model", "string", False),
    ("model_args", "string", True),
    ("model_fingerprint", "string", True),
    ("dataset", "string", False),
    ("dataset_fingerprint", "string", False),
    ("train_subset", "int64", True),
    ("test_subset", "int64", True),
    ("holdout", "double", False),
    ("epochs", "int64", False),
    ("batch_size", "int64", False),
    ("lr", "double", False),
    ("schedule", "string", False),
    ("milestones", "list<item: double>", True),
    ("lr_min_factor", "double", True),
    ("warmup_epochs", "double", True),
    ("warmup_start_factor", "double", True),
    ("optimizer", "string", True),
    ("momentum", "double", False),
    ("nesterov", "bool", False),
    ("betas", "list<item: double>", True),
    ("eps", "double", True),
    ("weight_decay", "double", False),
    ("weight_decay_on", "string", True),
    ("clip_grad_norm", "double", True),
    ("label_smoothing", "double", True),
    ("loss", "string", True),
    ("loss_fingerprint", "string", True),
    ("ghost_batch_size", "int64", True),
    ("augmentation", "string", False),
    ("cutout_size", "int64", True),
    ("mixup_alpha", "double", True),
    ("precision", "string", False),
    ("noise_scale", "bool", True),
    ("seed", "int64", False),
    ("recipe_version", "int64", False),
    ("parent", "string", True),
    ("repeat", "int64", False),
    ("variables", "string", False),
    ("purpose", "string", False),
    ("proposal", "int64", True),
    ("status", "string", False),
    ("epochs_done", "int64", False),
    ("stopped_epoch", "int64", True),
    ("objective_values", "list<item: double>", True),
    ("test_error_percent", "double", True),
    ("test_error_percent_last5", "double", True),
    ("best_test_error_percent", "double", True),
    ("best_test_epoch", "int64", True),
    ("holdout_error_percent", "double", True),
    ("holdout_error_percent_last5", "double", True),
    ("best_holdout_error_percent", "double", True),
    ("best_holdout_epoch", "int64", True),
    ("train_loss", "double", True),
    ("train_seconds", "double", False),
    ("eval_seconds", "double", False),
    ("total_seconds", "double", False),
    ("images_per_second", "double", True),
    ("peak_memory_bytes", "int64", True),
    ("attempts", "int64", False),
    ("attempts_differ", "string", True),
    ("damage", "string", True),
    ("error", "string", True),
    ("host", "string", False),
    ("device", "string", False),
    ("num_threads", "int64", False),
    ("gpus", "double", True),
    ("precision_resolved", "string", False),
    ("execution", "string", False),
    ("versions", "string", False),
    ("code", "string", False),
    ("start_time", TIME, False),
    ("end_time", TIME, True),
    ("test_correct_bits", "binary", True),
]
EPOCHS = [
    ("sweep", "string", False),
    ("trial_key", "string", False),
    ("superseded", "bool", False),
    ("generation", "int64", False),
    ("epoch", "int64", False),
    ("step", "int64", False),
    ("lr", "double", False),
    ("train_loss", "double", True),
    ("train_error_percent", "double", True),
    ("holdout_loss", "double", True),
    ("holdout_error_percent", "double", True),
    ("test_loss", "double", True),
    ("test_error_percent", "double", True),
    ("train_seconds", "double", False),
    ("eval_seconds", "double", False),
    ("images_per_second", "double", False),
    ("gradient_norm", "double", True),
    ("attempt", "int64", False),
    ("noise_scale", "double", True),
    ("gradient_variance", "double", True),
    ("gradient_square", "double", True),
]


@pytest.mark.parametrize(
    ("schema", "columns"), [(TRIALS_SCHEMA, TRIALS), (EPOCHS_SCHEMA, EPOCHS)], ids=["trials", "epochs"]
)
def test_columns_types_and_nulls(schema: pa.Schema, columns: list[tuple[str, str, bool]]) -> None:
    assert [(field.name, str(field.type), field.nullable) for field in schema] == columns


def test_the_version_that_these_columns_have() -> None:
    assert SCHEMA_VERSION == 6


def test_every_field_of_the_configuration_is_a_column() -> None:
    assert set(FIELD_NAMES) <= set(TRIALS_SCHEMA.names)
