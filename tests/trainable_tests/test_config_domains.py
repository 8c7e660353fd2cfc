"""Values and names that a configuration refuses, and what it says."""

from typing import Any

import pytest

from trainable.config import TrainConfig, check_field_name
from trainable.errors import FieldError, UserError

OUTSIDE: list[tuple[str, Any, str]] = [
    ("model", "vgg_16", "unknown model 'vgg_16'"),
    ("model", "resnet-preact-20", "unknown model 'resnet-preact-20': did you mean 'resnet_preact_20'?"),
    ("model", "resnet_21", r"6n\+2.*try resnet_20"),
    ("epochs", 0, "epochs must be at least 1, got 0"),
    ("batch_size", 1, "batch_size must be at least 2 .*got 1"),
    ("batch_size", -5, "batch_size must be at least 1, got -5"),
    ("train_subset", 0, "train_subset must be at least 1, got 0"),
    ("test_subset", -1, "test_subset must be at least 1, got -1"),
    ("holdout", 0.6, "holdout must be between 0 and 0.5, got 0.6"),
    ("holdout", -0.1, "holdout must be between 0 and 0.5, got -0.1"),
    ("lr", 0.0, "lr must be greater than 0, got 0"),
    ("lr", -1.0, "lr must be greater than 0, got -1"),
    ("momentum", 1.0, "momentum must be between 0 and below 1, got 1"),
    ("momentum", -0.1, "momentum must be between 0 and below 1, got -0.1"),
    ("weight_decay", -1e-4, "weight_decay must be at least 0, got -0.0001"),
    ("warmup_epochs", -1, "warmup_epochs must be between 0 and below 200, got -1"),
    ("warmup_epochs", 200, "warmup_epochs must be between 0 and below 200, got 200"),
    ("warmup_start_factor", 1.5, "warmup_start_factor must be between 0 and 1, got 1.5"),
    ("label_smoothing", 1.0, "label_smoothing must be between 0 and below 1, got 1"),
    ("ghost_batch_size", 1, "ghost_batch_size must be at least 2, got 1"),
    ("ghost_batch_size", 48, "batch_size 128 must be a multiple of ghost_batch_size 48"),
    ("cutout_size", -1, "cutout_size must be at least 0, got -1"),
    ("mixup_alpha", -0.2, "mixup_alpha must be at least 0, got -0.2"),
    ("optimizer", "adam", "optimizer 'adam' is unknown: did you mean 'adamw'"),
    ("betas", [0.9, 0.99], "betas belongs to optimizer adamw or muon, not sgd"),
    ("eps", 1e-6, "eps belongs to optimizer lars, adamw or muon, not sgd"),
    ("weight_decay_on", "bn", "weight_decay_on 'bn' is unknown: valid: all, no_bn, matrices"),
    ("clip_grad_norm", 0.0, "clip_grad_norm must be greater than 0, got 0"),
    ("lr_min_factor", 1.5, "lr_min_factor must be between 0 and 1, got 1.5"),
    ("schedule", "cosin", "schedule 'cosin' is unknown: did you mean 'cosine'"),
    ("precision", "fp8", "precision 'fp8' is unknown: did you mean 'fp"),
    ("augmentation", "xyz", "augmentation 'xyz' is unknown: valid: crop_flip, crop, none"),
    ("seed", -1, "seed must be between 0 and .*got -1"),
    ("seed", 2**63, "seed must be between 0 and"),
]

WRONG_TYPES: list[tuple[str, Any, str]] = [
    ("model", 20, "model must be a word, got 20"),
    ("epochs", "ten", "epochs must be a whole number, got 'ten'"),
    ("epochs", 1.5, "epochs must be a whole number, got 1.5"),
    ("epochs", True, "epochs must be a whole number, got True"),
    ("epochs", None, "epochs must be a whole number, got None"),
    ("epochs", float("inf"), "epochs must be a whole number, got inf"),
    ("lr", "0.1", "lr must be a number, got '0.1'"),
    ("lr", True, "lr must be a number, got True"),
    ("lr", float("nan"), "lr must be a finite number, got nan"),
    ("lr", float("inf"), "lr must be a finite number, got inf"),
    ("lr", None, "lr must be a number, got None"),
    ("nesterov", 1, "nesterov must be true or false, got 1"),
    ("nesterov", "yes", "nesterov must be true or false, got 'yes'"),
    ("train_subset", "all", "train_subset must be a whole number, got 'all'"),
    ("model", "net.py:<b>", "model must be FILE.py:NAME or package.module:NAME, got 'net.py:<b>'"),
    ("model", "\x1b.py:Net", r"model must be FILE.py:NAME or package.module:NAME, got '\\x1b.py:Net'"),
    ("loss", ":focal", "loss must be FILE.py:NAME or package.module:NAME, got ':focal'"),
    ("model_args", "width", "model_args must be a mapping like {width: 64}, got 'width'"),
    ("milestones", 0.5, r"milestones must be a list of numbers like \[0.5\], got 0.5"),
    ("milestones", "80,120", r"milestones must be a list of numbers like \[80,120\], got '80,120'"),
    ("betas", "high", r"betas must be a list of numbers like \[0.5, 0.75\], got 'high'"),
    ("milestones", [0.5, "x"], "milestones must be a number, got 'x'"),
    ("milestones", [0.5, None], "milestones must be a number, got None"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUTSIDE + WRONG_TYPES)
def test_impossible_values_are_refused_and_shown(name: str, value: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(FieldError, match=message) as caught:
        TrainConfig.from_dict({name: value})
    assert caught.value.field == name
    assert "\n" not in str(caught.value)


def test_a_whole_number_beyond_all_floats_is_refused() -> None:
    with pytest.raises(FieldError, match="lr must be a finite number"):
        TrainConfig.from_dict({"lr": 10**400})


@pytest.mark.parametrize(
    "milestones", [[], [0.75, 0.5], [0.5, 0.5], [120, 80], [0, 0.5], [0.5, 160], [80, 200], [-0.5, 0.5]]
)
def test_milestones_outside_the_training_are_refused(milestones: list[float]) -> None:
    with pytest.raises(FieldError, match="must rise and lie inside the training of 160 epochs") as caught:
        TrainConfig(schedule="multistep", epochs=160, milestones=tuple(milestones))
    assert caught.value.field == "milestones"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_eps_that_is_0_in_fp16_is_refused(optimizer: str) -> None:
    pure = {"optimizer": optimizer, "precision": "pure_fp16"}
    with pytest.raises(FieldError, match=f"eps 1e-08 of {optimizer} is 0 in pure_fp16: give eps 1e-4, for example"):
        TrainConfig.from_dict(pure)
    assert TrainConfig.from_dict({**pure, "eps": 1e-4}).eps == 1e-4
    assert TrainConfig(optimizer="lars", precision="pure_fp16").eps == 1e-9  # LARS takes its norms in fp32


@pytest.mark.parametrize("betas", [[], [0.9], [0.9, 0.99, 0.999], [0.9, 1.0], [-0.1, 0.9]])
def test_betas_are_two_shares(betas: list[float]) -> None:
    with pytest.raises(FieldError, match="betas must be"):
        TrainConfig.from_dict({"optimizer": "adamw", "betas": betas})


@pytest.mark.parametrize(
    ("name", "value"),
    [("holdout", 0.5), ("momentum", 0.0), ("lr_min_factor", 0.0), ("lr_min_factor", 1.0), ("seed", 2**63 - 1)],
)
def test_the_ends_of_a_domain_belong_to_it(name: str, value: float) -> None:
    assert getattr(TrainConfig.from_dict({name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("learning_rate", "did you mean 'lr'"),
        ("bs", "did you mean 'batch_size'"),
        ("epoch", "did you mean 'epochs'"),
        ("weight_decy", "did you mean 'weight_decay'"),
        ("qqqq", "valid: model, model_args, dataset"),
    ],
)
def test_unknown_fields_are_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(FieldError, match=f"unknown key '{name}': {hint}") as caught:
        TrainConfig.from_dict({"lr": 0.1, name: 1})
    assert caught.value.field == name


def test_other_names_can_be_allowed() -> None:
    check_field_name("base_lr", also=("base_lr",))
    with pytest.raises(UserError, match="did you mean 'base_lr'"):
        check_field_name("base_lrs", also=("base_lr",))


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        setattr(TrainConfig(), "lr", 1.0)  # noqa: B010 (a plain assignment is a type error)
