"""What a message suggests: the word that is meant, our word for another tool's, the right section and line."""

from pathlib import Path

import pytest

from search_spaces.loader import load_space
from tests.search_spaces_tests.space_samples import refusal
from trainable.errors import UserError

SEARCH = "search: {algorithm: tpe, num_trials: 4}\nparameters: {lr: {min: 0.01, max: 1.0}}\n"
ROWS = "rows: [{seed: 1}]\n"
WORDS = {
    "method: bayes\n" + ROWS: "FILE:1: method: unknown key 'method': write search: {algorithm: tpe, num_trials: 20}",
    "metric: {name: loss}\n" + ROWS: "FILE:1: metric: unknown key 'metric': write objective: {metric: ",
    "run_cap: 4\n" + ROWS: "unknown key 'run_cap': our word is 'num_trials'",
    "program: train.py\n" + ROWS: "unknown key 'program': leave it out: the training is built in",
    "early_terminate: {type: hyperband}\n" + SEARCH: "unknown key 'early_terminate': did you mean 'scheduler'?",
    "search: {algorithm: bayes, num_trials: 4}\n": "search.algorithm: 'bayes' is unknown: did you mean 'mfgp'?",
    "search: {algorithm: TPE, num_trials: 4}\n": "'TPE' is unknown: did you mean 'tpe'?",
    "search: {algorithm: tpe, run_cap: 4}\n": "unknown key 'run_cap': did you mean 'num_trials'?",
    SEARCH + "scheduler: {type: asha, min_iter: 1}\n": "unknown key 'min_iter': did you mean 'grace_epochs'?",
    SEARCH + "scheduler: {type: asha, eta: 3}\n": "unknown key 'eta': did you mean 'reduction_factor'?",
    SEARCH + "scheduler: {type: ahsa}\n": "scheduler.type: 'ahsa' is unknown: did you mean 'asha'?",
    SEARCH + "objective: {seed: 3}\n": "objective.seed: unknown key 'seed': did you mean 'seeds'?",
    SEARCH + "objective: {metric: val_loss}\n": "'val_loss' is unknown: did you mean 'holdout_loss'?",
    SEARCH.replace("1.0}", "1.0, distribution: log_unifrom_values}"): "did you mean 'log_uniform_values'?",
    SEARCH.replace("1.0}", "1.0, distribution: normal}"): "'normal' is unknown: give min and max with uniform",
    SEARCH + "scheduler: {type: asha, max_t: 3}\n": "unknown key 'max_t': leave it out: no trial trains for more",
    SEARCH.replace("{min: 0.01, max: 1.0}", "{value: 3}"): "unknown key 'value': write values: [...], or put",
}
SECTIONS = {
    "defaults:\n  grid: {lr: [1]}\n" + ROWS: "FILE:2: defaults.grid: 'grid' belongs one level out, beside 'defaults'",
    "defaults:\n  repeats: 3\n" + ROWS: "FILE:2: defaults.repeats: 'repeats' belongs one level out",
    "grid:\n  lr: [1]\n  derive: {lr: '2'}\n": "'derive' belongs one level out, beside 'grid'",
    "rows:\n- seed: 1\n  repeats: 3\n": "FILE:3: rows[0].repeats: 'repeats' belongs at the left margin, beside",
    "search:\n  algorithm: tpe\n  parameters: {}\n": "FILE:3: search.parameters: 'parameters' belongs one level out",
    "scales:\n  small:\n    repeats: 3\n" + ROWS: "'repeats' belongs at the left margin, beside 'scales'",
    "num_trials: 3\n" + ROWS: "FILE:1: num_trials: 'num_trials' belongs into search",
    "search: {algorithm: tpe, grace_epochs: 1}\n": "'grace_epochs' belongs into scheduler",
    "epochs: 3\n" + ROWS: "FILE:1: epochs: 'epochs' is a training field: write it into defaults, rows or grid",
    ROWS + "derive: {published_epochs: 200}\n": "derive.published_epochs: must be an expression, got 200: put a",
    "grid:\n  base_lr: [0.1]\n": "grid.base_lr: unknown key 'base_lr': valid: model, ",
    "rows: [{base_lr: 1}]\n": " more, or a name that derive uses",
    ROWS + "description: 3\n": "FILE:2: description: must be text, got 3",
}
LINES = {
    "grid:\n  base: [1, 0]\nderive:\n  lr: 1 / base\n": (
        "FILE:4: derive.lr: '1 / base' cannot be computed: division by zero (with base=0)"
    ),
    "rows:\n- base: 0\nderive:\n  lr: base\n": (
        "FILE:4: derive.lr: lr must be greater than 0, got 0 (with base=0)"
    ),
    "parts:\n- grid: {base: [0.5]}\nderive:\n  epochs: base\n": (
        "FILE:4: derive.epochs: epochs must be a whole number, got 0.5 (with base=0.5)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [*WORDS.items(), *SECTIONS.items(), *LINES.items()])
def test_a_message_says_what_to_write_and_where(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_sweep", "no space 'my_sweep': did you mean 'my_sweep.yaml'?"),
        ("my_swep.yml", "cannot read my_swep.yml: there is no such file: did you mean 'my_sweep.yaml'?"),
        ("quikstart", "no space 'quikstart': did you mean 'quickstart'?"),
        ("quickstart.yaml", "there is no such file: did you mean 'quickstart'?"),
    ],
)
def test_a_file_or_a_shipped_space_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_sweep.yaml").touch()
    with pytest.raises(UserError) as caught:
        load_space(name)
    assert message in str(caught.value)
