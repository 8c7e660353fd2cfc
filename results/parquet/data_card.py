"""The README.md of an exported data set: Hugging Face front matter, and the meaning of every column."""

import pyarrow as pa

from results.parquet.markdown import code_block, escaped
from results.parquet.schema import EPOCHS_SCHEMA, METADATA_PREFIX, TRIALS_SCHEMA, meaning
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from trainable.wording import counted, json_text

FRONT_MATTER = f"""---
pretty_name: {{name}}
tags:
- image-classification
- learning-rate
- batch-size
- hyperparameter-search
configs:
- config_name: trials
  data_files: {TRIALS_PARQUET}
  default: true
- config_name: epochs
  data_files: {EPOCHS_PARQUET}
---
"""


def data_card(trials: pa.Table, epochs: pa.Table) -> str:
    """Return Markdown for the folder that holds both tables, so that it can be uploaded as it is."""
    metadata = {key.decode(): value.decode() for key, value in trials.schema.metadata.items()}
    name = metadata[METADATA_PREFIX + "sweep"]
    datasets = escaped(", ".join(sorted(set(trials["dataset"].to_pylist()))))
    parts = [
        FRONT_MATTER.format(name=json_text(f"Batchscape sweep {name}")),
        f"# {escaped(name)}\n",
        f"{counted(trials.num_rows, 'training')} of image classifiers on {datasets}, one row each in "
        f"`{TRIALS_PARQUET}`, and one row for each of their {counted(epochs.num_rows, 'epoch')} in "
        f"`{EPOCHS_PARQUET}` (schema version {metadata[METADATA_PREFIX + 'schema_version']}). Errors are those of "
        "the last epoch, on the test images; `best_test_error_percent` is selected on them and says less.\n",
        "## trials\n\n" + _columns(TRIALS_SCHEMA),
        "## epochs\n\n" + _columns(EPOCHS_SCHEMA),
        f"## How it was made\n\nCode {escaped(metadata[METADATA_PREFIX + 'code'])}, from this space:\n\n"
        + code_block(metadata[METADATA_PREFIX + "space"], "yaml")
        + "\n",
    ]
    return "\n".join(parts)


def _columns(schema: pa.Schema) -> str:
    lines = ["| column | type | meaning |", "|:-------|:-----|:--------|"]
    for field in schema:
        text = meaning(field).replace("|", "\\|")
        lines.append(f"| `{field.name}` | {field.type}{'?' if field.nullable else ''} | {text} |")
    return "\n".join(lines) + "\n\nA `?` marks columns that can be empty.\n"
