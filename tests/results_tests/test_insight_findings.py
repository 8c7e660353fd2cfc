"""What `insight` tells of small tables of trials and of the published rows, and in which words."""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path

import pytest

import tune_main
from results.insight.critical import CriticalBatchSize
from results.insight.findings import Critical, Findings, Insight, findings
from results.insight.groups import Error, groups_of_published, groups_of_trials
from results.insight.law import Band, Law, Preferred
from results.insight.optima import Optimum, Status
from results.insight.regret import Rule
from results.insight.sentences import critical_sentence, points, sentences
from results.insight.text import insight_text
from results.parquet.files import read_trials
from results.parquet.trials import Trial, trials_from_table
from results.store.local_store import LocalStore
from tests.conftest import ROOT
from tests.results_tests.insight_samples import power_law, simulated_runs
from tests.results_tests.result_samples import make_config, make_trial
from trainable.errors import UserError
from trainable.records import Status as TrialStatus

SIZES = (64, 128, 256, 512)


def made_trials(
    octaves: Iterable[float] = range(-3, 4), seeds: Iterable[int] = (0, 1), **changes: object
) -> list[Trial]:
    """Trials with best rates by the square root: 0.8 at batch size 362, errors above 8 %."""
    return [
        make_trial(
            make_config(batch_size=run.batch_size, lr=run.lr, seed=seed, **changes), round(run.error_percent, 2)
        )
        for seed in seeds
        for run in simulated_runs(power_law(0.5, SIZES), octaves, seed)
    ]


def the_insight(trials: list[Trial], **options: object) -> Insight:
    (insight,) = findings(groups_of_trials(trials, **options)).insights  # type: ignore[arg-type]
    return insight


def texts(insight: Insight) -> str:
    return "\n".join(sentence.text for sentence in sentences(insight))


@pytest.fixture(scope="module")
def made() -> Insight:
    return the_insight(made_trials())


@pytest.fixture(scope="module")
def published() -> Findings:
    return findings(groups_of_published())


def test_a_group_tells_rates_rules_costs_and_noise(made: Insight) -> None:
    assert made.label == "ResNet-preact-20, cosine, 200 epochs"
    assert made.group.error is Error.TEST
    assert made.cautions == (
        "no images were held out: rates are chosen on the test images, so the best errors come out too low",
    )
    assert [optimum.status for optimum in made.best.optima] == [Status.INSIDE] * 4
    assert made.anchor == 64
    assert made.seed_noise.degrees_of_freedom >= len(SIZES)
    told = texts(made)
    assert "The linear rule is rejected; the square-root rule" in told
    assert "Best rates: 0.3" in told
    assert "Doubling the rate with the batch, from 0.3" in told
    assert "One run of each shows differences above 0." in told
    assert all(sentence.why for sentence in sentences(made))


def test_settings_that_differ_in_more_make_groups_and_epochs_make_a_family() -> None:
    trials = [*made_trials(seeds=[0]), *made_trials(seeds=[0], epochs=50), *made_trials(seeds=[0], optimizer="lars")]
    found = findings(groups_of_trials(trials))
    assert sorted(insight.label for insight in found.insights) == [
        "ResNet-preact-20, cosine, 200 epochs, LARS",
        "ResNet-preact-20, cosine, 200 epochs, SGD",
        "ResNet-preact-20, cosine, 50 epochs, SGD",
    ]
    assert [critical.epochs for critical in found.critical] == [(50, 200)]


def test_repeats_of_other_groups_tell_the_noise_scaled_to_the_error() -> None:
    repeated = made_trials(optimizer="lars")
    rest = made_trials(seeds=[0])
    ours, others = (
        next(
            insight for insight in findings(groups_of_trials([*repeated, *rest])).insights if is_lars(insight) == lars
        )
        for lars in (False, True)
    )
    assert ours.best.seed_noise.variance == pytest.approx(others.seed_noise.variance, rel=0.3)
    assert ours.seed_noise.degrees_of_freedom == others.seed_noise.degrees_of_freedom
    alone = the_insight(rest)
    assert alone.detectable() is None
    assert alone.cautions[-1] == "one seed per configuration: the noise between seeds is not known"
    assert "How large a difference must be before it counts is not known" in texts(alone)


def is_lars(insight: Insight) -> bool:
    return insight.label.endswith("LARS")


def test_cautions_on_what_was_trained() -> None:
    trials = made_trials(seeds=[0], dataset="mine", epochs=5)
    trials = [changed(trial, variables=json.dumps({"published_epochs": 200})) for trial in trials]
    trials[0] = changed(trials[0], status=TrialStatus.STOPPED.value)
    trials[1] = changed(trials[1], status=TrialStatus.FAILED.value)
    trials[2] = changed(trials[2], test_error_percent=70.0)
    insight = the_insight(trials, scale="smoke")
    assert len(insight.group.runs) == len(trials) - 2
    assert insight.cautions[1:5] == (
        "trained at the scale smoke (5 epochs instead of 200): full size may differ",
        "1 trial is left out: stopped early, so that the error is not final",
        "1 trial is left out: failed",
        "the number of classes is not known: errors above 81 % count as guessing (`insight --classes N` tells it)",
    )
    assert "classes" not in " ".join(the_insight(trials, num_classes=10).cautions)


def changed(trial: Trial, **changes: object) -> Trial:
    return dataclasses.replace(trial, row=dataclasses.replace(trial.row, **changes))  # type: ignore[arg-type]


def test_held_out_errors_are_used_where_they_exist() -> None:
    trials = [
        changed(trial, holdout_error_percent=trial.row.test_error_percent, test_error_percent=50.0)
        for trial in made_trials(seeds=[0], holdout=0.1)
    ]
    trials[0] = changed(trials[0], status=TrialStatus.DIVERGED.value)
    insight = the_insight(trials)
    assert insight.group.error is Error.HOLDOUT
    assert insight.group.runs[0].error_percent == math.inf
    assert not [caution for caution in insight.cautions if "test images" in caution]
    assert max(run.error_percent for run in insight.group.runs[1:]) < 20


def test_each_status_has_its_words(made: Insight) -> None:
    first, *rest = made.best.optima

    def told(**changes: object) -> str:
        optimum: Optimum = dataclasses.replace(first, **changes)  # type: ignore[arg-type]
        return texts(dataclasses.replace(made, best=dataclasses.replace(made.best, optima=(optimum, *rest))))

    at_least = told(status=Status.AT_LEAST, low=0.19, high=5.0, measured_high=0.4)
    assert "At batch 64 the best rate is at least 0.19: try 0.8 and 1.6." in at_least
    assert "At batch 64 the best rate is at least 0.19: try 0.8." in told(
        status=Status.AT_LEAST, low=0.19, high=0.7, measured_high=0.4
    )
    assert "At batch 64 the best rate is at most 0.5: try 0.1 and 0.05." in told(
        status=Status.AT_MOST, low=0.0, high=0.5, measured_low=0.2
    )
    two = [
        dataclasses.replace(item, status=Status.AT_MOST, low=0.0, high=0.5, measured_low=0.2)
        for item in made.best.optima[:2]
    ]
    best = dataclasses.replace(made.best, optima=tuple(two))
    words = "at most 0.5 at batch 64 (try 0.1 and 0.05) and at most 0.5 at batch 128 (try 0.1 and 0.05)."
    assert words in texts(dataclasses.replace(made, best=best))
    assert "At batch 64 the best rate cannot be told: try lower rates, or more epochs." in told(
        status=Status.CANNOT_TELL, why="no error is better than chance"
    )


def law(exponent: Band, factor: float) -> Law:
    unknown = Band(1.0, 0.5, 2.0)
    return Law((64, 512), exponent, Band(2.6, 1.9, 3.6), Band(522, 280, 851), factor, {64: unknown}, {64: unknown})


@pytest.mark.parametrize(
    ("exponent", "factor", "words"),
    [
        (
            Band(0.5, 0.3, 0.7),
            31,
            ("never exceeds 2.6 (1.9 to 3.6)", "compatible with these runs, but only on average"),
        ),
        (
            Band(1.0, 0.9, 1.1),
            0.1,
            ("grows steadily with the batch size: by a factor of 2", "square-root rule is rejected"),
        ),
        (Band(0.7, 0.4, 1.1), 1.0, ("whether it levels off cannot be told", "cannot be told: tune the rate")),
        (Band(0.75, 0.7, 0.8), 1.0, ("by a factor of 1.7 (1.6 to 1.7)", "are rejected: tune the rate")),
    ],
)
def test_each_law_has_its_words(made: Insight, exponent: Band, factor: float, words: tuple[str, ...]) -> None:
    insight = dataclasses.replace(made, law=law(exponent, factor))
    told = sentences(insight)
    assert all(word in told[number].text for number, word in enumerate(words))
    if insight.law is not None and insight.law.preferred is Preferred.LEVELLING:
        assert "exponent" not in " ".join(f"{sentence.text} {sentence.why}" for sentence in told)


def test_the_critical_batch_size_has_its_words() -> None:
    def words(*values: object) -> str:
        return critical_sentence(Critical("a", (50, 200), CriticalBatchSize(*values))).text  # type: ignore[arg-type]

    assert words(Status.INSIDE, "", 500, 300, 900).startswith("Up to about 500 images (300 to 900) larger batches")
    assert words(Status.AT_MOST, "", math.nan, 0, 900) == "Batches above 900 images need more epochs."
    assert words(Status.CANNOT_TELL, "", math.nan, 0, math.inf).endswith("cannot be told.")


@pytest.mark.parametrize(("value", "text"), [(0.341, "0.34"), (0.003, "0"), (1.06, "1.1"), (14.8, "15")])
def test_points(value: float, text: str) -> None:
    assert points(value) == text


def test_the_published_rows_level_off(published: Findings) -> None:
    first = published.insights[0]
    assert first.label == "ResNet-preact-20, cosine, 200 epochs, published"
    assert first.law is not None
    assert 10 < first.law.levelling_factor < 100
    assert first.law.lr_max.value == pytest.approx(2.60, abs=0.1)
    assert first.law.noise_batch_size.value == pytest.approx(520, abs=40)
    assert first.law.exponent.value == pytest.approx(0.51, abs=0.03)
    assert len(first.group.runs) == 43
    assert set(first.regrets) == set(Rule)
    text = insight_text(published)
    half = round(first.law.noise_batch_size.value)
    assert f"lr = {first.law.lr_max.value:.2g} / (1 + {half} / batch size). It never exceeds" in text
    why = f"*Why: {first.law.levelling_factor:.2g} times as likely as steady growth, over batch sizes 32 to 4096.*"
    assert why in text
    assert "At batch 64 the best rate is at least 0.2" in text
    assert "| 8          | 0.0061" in text
    assert "nan" not in text
    assert text.count("\n## ") == 2
    assert text.endswith("(`insight --all` shows them).")
    everything = insight_text(published, everything=True)
    assert "- ResNet-110, multistep, 160 epochs, published: no best rate can be told at batch size" in everything
    assert all(insight.label in everything for insight in published.insights)


def test_nothing_to_tell_is_one_line() -> None:
    few = findings(groups_of_trials(made_trials(octaves=[0], seeds=[0])))
    assert insight_text(few) == (
        "ResNet-preact-20, cosine, 200 epochs: no best rate can be told at batch size 64, 128, "
        "256 and 512: fewer than 3 rates (try 3 or more, each twice the last)"
    )
    assert insight_text(findings([])) == "no trials: nothing can be told"
    unfinished = [
        changed(trial, status=TrialStatus.INCOMPLETE.value) for trial in made_trials(octaves=[0], seeds=[0])
    ]
    text = insight_text(findings(groups_of_trials(unfinished)))
    assert text.endswith("no trial has a final error; 4 trials are left out: not finished")


def test_an_anchor_without_a_best_rate_is_refused(made: Insight) -> None:
    assert the_insight(made_trials()).anchor == made.anchor
    with pytest.raises(UserError, match=r"--anchor 96: this batch size has no best rate: 64, 128, 256, 512 have"):
        findings([made.group], anchor=96)


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = ["--store", str(ROOT / "results" / "examples")]
    assert tune_main.main(["insight", "quickstart", *store]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert tune_main.main(["insight", "initial_lr-smoke", *store, "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert group["num_runs"] == 39
    assert group["detectable_points"] is None
    assert [best["batch_size"] for best in group["best_rates"]] == [2**power for power in range(2, 10)]
    assert group["best_rates"][0]["status"] == "cannot tell"
    refused = (["nosuch", *store], ["published", "--classes", "3"], ["quickstart", *store, "--classes", "1"])
    for arguments, anchor in itertools.product(refused, ([], ["--anchor", "16"])):
        assert tune_main.main(["insight", *arguments, *anchor]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert tune_main.main(["insight", "quickstart", "--store", str(tmp_path)]) == 2


def test_no_cost_makes_a_run_worse_than_guessing() -> None:
    """The curve is known to the left of its minimum only, where the fit alone would allow a cost of 161 points."""
    trials = trials_from_table(read_trials(LocalStore(ROOT / "results" / "examples"), "initial_lr-smoke"))
    insight = findings(groups_of_trials(trials)).insights[0]
    costs = {regret.batch_size: regret for regret in insight.regrets[Rule.LINEAR]}
    least = min(run.error_percent for run in insight.group.runs if run.batch_size == 64)
    assert costs[64].points <= costs[64].high == pytest.approx(90 - least)
