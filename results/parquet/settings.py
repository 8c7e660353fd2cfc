"""Which settings of a training are worth naming, and the words for them in tables, figures and reports."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from trainable.canonical import ZERO_IS_NONE
from trainable.config import DEFAULTS, FIELD_NAMES, TrainConfig, value_of
from trainable.errors import FieldError
from trainable.field_checks import ARGUMENT_PREFIX
from trainable.wording import format_value

DEPENDENT_FIELDS = {"optimizer": ("momentum", "nesterov", "betas", "eps"), "warmup_epochs": ("warmup_start_factor",)}
"""Training field -> fields of its own, most of which the program sets by itself."""
FILLED_IN = ("milestones", "lr_min_factor", *(name for names in DEPENDENT_FIELDS.values() for name in names))
"""Fields whose value depends on other fields where nobody sets it."""
OUTSIDE_RECIPE = (
    *("model", "model_args", "model_fingerprint", "dataset", "dataset_fingerprint", "train_subset", "test_subset"),
    *("holdout", "epochs", "batch_size", "lr", "schedule", "loss_fingerprint", "seed", "recipe_version", "parent"),
    "noise_scale",
)
"""Fields that tables show anyway, or that do not say how a step of the training is made."""
PUBLISHED_TOO = {"precision": ("fp32",), "lr_min_factor": (0.0,)}
"""Values of published runs that are not our defaults and need no mention either."""
OPTIMIZER_NAMES = {"sgd": "SGD", "lars": "LARS", "adamw": "AdamW", "muon": "Muon"}
SETTING_WORDS = {
    **{("optimizer", name): words for name, words in OPTIMIZER_NAMES.items()},
    ("ghost_batch_size", "None"): "no ghost batches",
    ("weight_decay_on", "all"): "weight decay on all",
    ("weight_decay_on", "no_bn"): "no weight decay on BN",
    ("weight_decay_on", "matrices"): "weight decay on matrices",
    ("precision", "fp16"): "mixed precision",
    ("precision", "pure_fp16"): "fp16 precision",
}
"""(field, value) -> words, where name and value do not say it."""
NONE_WORDS = {
    "train_subset": "all",
    "test_subset": "all",
    "clip_grad_norm": "no limit",
    "ghost_batch_size": "whole batch",
}
"""Field -> the word for None."""
FIELD_WORDS = {
    "ghost_batch_size": "ghost batch size {}",
    "weight_decay": "weight decay {}",
    "precision": "{} precision",
}
"""Field -> words around its value, as for the published sequel."""


def is_default(config: TrainConfig, name: str) -> bool:
    """Return whether a field has the value that it gets where nobody sets it, given the other fields."""
    value = value_of(config, name)
    if name.startswith(ARGUMENT_PREFIX) or value == DEFAULTS[name]:
        return value is None or not name.startswith(ARGUMENT_PREFIX)
    try:
        return name in FILLED_IN and replace(config, **{name: DEFAULTS[name]}) == config
    except FieldError:
        return False


def recipe_fields(config: TrainConfig) -> list[str]:
    """Return the fields of the recipe, and arguments of the model, that are not as in the 16 first tables."""
    arguments = [f"{ARGUMENT_PREFIX}{key}" for key in config.model_arguments()]
    names = [*arguments, *(name for name in FIELD_NAMES if name not in OUTSIDE_RECIPE)]
    return [name for name in names if not is_default(config, name) and not _needs_no_mention(config, name)]


def _needs_no_mention(config: TrainConfig, name: str) -> bool:
    if name == "augmentation" and config.dataset == "digits":  # they must not be mirrored
        return config.augmentation == "crop"
    return value_of(config, name) in PUBLISHED_TOO.get(name, ())


def shared_recipe_fields(configs: Sequence[TrainConfig]) -> list[str]:
    """Return those of `recipe_fields` that have one value in all configurations."""
    names = recipe_fields(configs[0]) if configs else []
    return [name for name in names if len({value_of(config, name) for config in configs}) == 1]


def setting_words(name: str, value: str) -> str:
    """Return a setting in words: `LARS`, `label_smoothing 0.1`, `no weight decay on BN`; nothing for None."""
    words = "" if value == "None" else FIELD_WORDS.get(name, f"{name} {{}}").format(value)
    return SETTING_WORDS.get((name, value), words)


def swept_words(name: str, value: object) -> str:
    """Return a setting in words even if it is None: `label_smoothing 0`, `cutout_size none`."""
    none = "0" if name in ZERO_IS_NONE else NONE_WORDS.get(name, "none")
    return setting_words(name, format_value(value)) or setting_words(name, none)


def one_at_a_time(rows: Collection[Sequence[object]]) -> bool:
    """Return whether rows of values are so few that a baseline was changed in one field at a time, not a grid."""
    columns = list(zip(*rows, strict=True))
    return len(columns) > 1 and len(set(rows)) <= 1 + sum(len(set(column)) - 1 for column in columns)


def recipe_words(config: TrainConfig, names: Sequence[str] | None = None) -> list[str]:
    """Return the words of these settings, by default of `recipe_fields`."""
    chosen = recipe_fields(config) if names is None else names
    return [setting_words(name, format_value(value_of(config, name))) for name in chosen]
