"""Making training faster must not change it: fp32 losses on the processor, held to the last bit."""

import json

import pytest

from tests.trainable_tests.golden_trainings import FILE, TRAININGS, kind_of_device, losses_of
from trainable.data.digits import load_digits

GOLDEN = json.loads(FILE.read_text())


@pytest.mark.parametrize("name", TRAININGS)
def test_losses_are_those_that_were_recorded(name: str) -> None:
    found, recorded = losses_of(TRAININGS[name], load_digits()), GOLDEN["losses"][name]
    if kind_of_device() == GOLDEN["device"]:
        assert found == recorded
    else:  # another torch or processor rounds otherwise: the first epoch is still close
        assert float.fromhex(found[0][0]) == pytest.approx(float.fromhex(recorded[0][0]), rel=1e-2)
