"""Another space under a sweep's name: the difference, and the sweep that extends the old one."""

import dataclasses
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from sweep.plan.changes import SHOWN, changes_text, extended, stands_for
from tests.results_tests.result_samples import make_config, make_manifest
from trainable.config import PlannedTrial
from trainable.errors import UserError

A, B, C = (make_config(lr=lr) for lr in (0.1, 0.2, 0.3))


def test_what_is_lost_and_what_is_new_by_what_varies() -> None:
    old = make_manifest([make_config(batch_size=16, lr=lr) for lr in (0.1, 0.2)])
    new = make_manifest([make_config(batch_size=16, lr=0.1), make_config(batch_size=32, lr=0.1)])
    assert changes_text(old, new).splitlines() == [
        "sweep: 1 of its 2 trials is no longer in the space, 1 trial is new",
        "- batch_size=16 lr=0.2",
        "+ batch_size=32 lr=0.1",
    ]


def test_a_sweep_that_only_grows_shows_nothing() -> None:
    assert changes_text(make_manifest([A]), make_manifest([A, B, C])) == ""


def test_a_shorter_space_loses_and_adds_nothing() -> None:
    assert changes_text(make_manifest([A, B]), make_manifest([A])).splitlines() == [
        "sweep: 1 of its 2 trials is no longer in the space, 0 trials are new",
        "- lr=0.2",
    ]


def test_seeds_are_shown_where_they_differ() -> None:
    text = changes_text(make_manifest([make_config(seed=0)]), make_manifest([make_config(seed=1)]))
    assert text.splitlines()[1:] == ["- seed=0", "+ seed=1"]


def test_a_data_set_of_other_content_is_a_difference() -> None:
    other = make_config(dataset_fingerprint="f" * 16)
    assert changes_text(make_manifest([make_config()]), make_manifest([other])).splitlines()[1:] == [
        "- dataset_fingerprint=0123456789abcdef",
        "+ dataset_fingerprint=ffffffffffffffff",
    ]


def test_of_many_the_first_are_shown_and_the_others_counted() -> None:
    old = make_manifest([make_config(seed=seed) for seed in range(SHOWN + 3)])
    new = make_manifest([make_config(seed=seed) for seed in range(100, 100 + SHOWN)])
    lines = changes_text(old, new).splitlines()
    assert lines[1] == "- seed=0"
    assert lines[SHOWN + 1] == "- ... and 3 more"
    assert lines[SHOWN + 2 :] == [f"+ seed={100 + number}" for number in range(SHOWN)]


def test_an_extended_sweep_holds_both_spaces_and_may_follow_the_old_one(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old, new = make_manifest([A, B]), make_manifest([C, B], space="grid: {lr: [2]}\n")
    both = extended(old, new)
    assert both.keys == [A.trial_key, B.trial_key, C.trial_key]
    with store.driving(old):
        pass
    with pytest.raises(UserError, match="add --extend to keep both, or give this run another --name"):
        store.check_extends(new)
    with store.driving(both):
        assert store.manifest("sweep") == both


def test_a_trial_of_both_has_what_the_new_space_says() -> None:
    new = dataclasses.replace(make_manifest([A]), trials=[PlannedTrial(A, 3, {"base_lr": 0.5})])
    assert extended(make_manifest([B, A]), new).trials == [
        PlannedTrial(B, 0, {}),
        PlannedTrial(A, 3, {"base_lr": 0.5}),
    ]


def test_the_old_space_is_kept_once() -> None:
    old, new = make_manifest([A], space="old", overrides={"lr": 0.1}), make_manifest([B], space="new")
    both = extended(old, new)
    assert both.space == "new"
    assert [(origin["space"], origin["overrides"]) for origin in both.extends] == [("old", {"lr": 0.1})]
    assert extended(both, new) == both  # the same command again


def test_only_an_extended_sweep_holds_more_than_the_file() -> None:
    old, new = make_manifest([A], space="old"), make_manifest([B], space="new")
    both = extended(old, new)
    assert stands_for(both, old)
    assert stands_for(both, new)
    assert not stands_for(both, make_manifest([A, C]))
    assert not stands_for(make_manifest([A, B]), make_manifest([A]))


def test_other_images_are_refused_and_not_even_offered(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    other = make_manifest([make_config(dataset_fingerprint="f" * 16)])
    with pytest.raises(UserError, match=r"other images: give this run another --name"):
        extended(make_manifest([A]), other)
    with store.driving(make_manifest([A])):
        pass
    with pytest.raises(UserError, match=r"among these\): give this run another --name"):
        store.check_extends(other)
