"""A training that runs: its directory is its own, and SIGTERM or SIGINT end it with a checkpoint."""

import os
import signal
import subprocess
import sys
import time

import pytest

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.cli.train import _stopping
from neuralop_jax.training import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_handlers_come_back(number):
    before, stop = signal.getsignal(number), StopRequest()
    with _stopping(stop) as received:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested and received == [number]
    assert signal.getsignal(number) is before


def test_running_training_keeps_others_out_and_is_saved_when_terminated(place, capsys):
    words = ["train", "run.toml", "--out", "runs/a", "--training.save-every", "1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "neuralop_jax", *words, "--training.steps", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_ENABLE_X64": "1"},  # as in this process, which resumes
    )
    try:
        log = place / "runs/a/metrics.jsonl"
        while process.poll() is None and not (log.exists() and log.read_text()):
            time.sleep(0.1)
        assert main([*words, "--seed", "1"]) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"runs/a is in use by pid {process.pid} on host ") and line.count("\n") == 1
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (143, "")
    assert "Stopped and saved in runs/a. Continue with: neuralop-jax train run.toml --resume --out runs/a" in out
    checkpoint.load("runs/a")
    reached = len(log.read_text().splitlines()) * 2
    assert not (place / "runs/a/DONE").exists()
    assert main([*words, "--resume", "--training.steps", str(reached + 2)]) == 0
    assert (place / "runs/a/DONE").exists()
    assert f'"step": {reached + 2}' in log.read_text().splitlines()[-1]
