"""The handlers of SIGINT and SIGTERM; what becomes of a training they stop is in `tests/faults`."""

import shlex
import signal
import sys

import pytest
from small_problem import write_sines

from neuralop_jax import training
from neuralop_jax.cli import main
from neuralop_jax.cli.train import stopping
from neuralop_jax.training import StopRequest, fit

CONFIG = """
data = {path = "sines.h5", input = ["a"], target = ["v"], batch_size = 4}
model = {kind = "fno", n_modes = [2], width = 8, depth = 1}
training = {steps = 6, log_every = 2, save_every = 2}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_handlers_come_back(number):
    before, stop = signal.getsignal(number), StopRequest()
    with stopping(stop) as received:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested and received == [number]
    assert signal.getsignal(number) is before


def test_the_command_that_is_printed_goes_on(tmp_path, monkeypatch, capsys):
    """With the same options, in a directory with spaces, whether anything was saved before the signal or not."""

    def stopped(config, *, stop, **options):
        stop.request()
        signal.raise_signal(signal.SIGTERM)
        return fit(config, stop=stop, **options)

    def interrupted(words):
        monkeypatch.setattr(sys, "argv", words)
        with monkeypatch.context() as patched:
            patched.setattr(training, "fit", stopped)
            assert main(words[1:]) == 143
        before, after = capsys.readouterr().out.replace("\n", " ").split(" Continue with: ")
        return before, shlex.split(after)

    monkeypatch.chdir(tmp_path)
    write_sines(tmp_path / "sines.h5")
    (tmp_path / "run.toml").write_text(CONFIG)
    words = ["neuralop-jax", "train", "run.toml", "--model.width", "4", "--import=json", "--seed", "3", "--out", "my run"]
    before, command = interrupted(words)
    assert before.endswith("Stopped in my run before the first step.")
    assert command == [
        "neuralop-jax",
        "train",
        "run.toml",
        "--model.width",
        "4",
        "--seed",
        "3",
        "--resume",
        "--out",
        "my run",
        "--import=json",
    ]
    assert main(command[1:]) == 0
