"""The handlers of SIGINT and SIGTERM; what becomes of a training they stop is in `tests/faults`."""

import signal

import pytest

from neuralop_jax.cli.train import stopping
from neuralop_jax.training import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_handlers_come_back(number):
    before, stop = signal.getsignal(number), StopRequest()
    with stopping(stop) as received:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested and received == [number]
    assert signal.getsignal(number) is before
