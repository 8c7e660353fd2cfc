"""Trials that processes leave in a store of either kind."""

from results.store.store import Store
from tests.results_tests.result_samples import make_attempt, make_end, make_epoch
from trainable.config import TrainConfig
from trainable.ledger.remote_ledger import open_ledger
from trainable.records import Status


def train(
    store: Store, config: TrainConfig, num_epochs: int, status: Status | None = None, run_id: str = "run"
) -> None:
    """What a worker leaves that resumes the trial; `status` is None where it was killed after a checkpoint."""
    with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
        ledger.rewind()
        ledger.begin(make_attempt())
        for epoch in range(len(ledger.epochs) + 1, num_epochs + 1):
            ledger.append(make_epoch(epoch, 50.0 / epoch))
        ledger.save_checkpoint(b"state")
        if status is not None:
            ledger.finish(make_end(status, num_epochs))
