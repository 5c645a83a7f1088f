"""Signals, Ctrl-C and exceptions: what was trained is saved, and the resumed training logs the same."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_problem import lines_of, logged, write_sines

from neuralop_jax import checkpoint
from neuralop_jax.training import _loop, fit

CONFIG = """
[data]
path = "sines.h5"
input = ["a"]
target = ["v"]
batch_size = 4

[model]
kind = "fno"
n_modes = [4]
width = 4
depth = 1

[training]
steps = 1000000
log_every = 2
save_every = 1000000
"""


def test_f04_terminated_or_interrupted(tmp_path, count):
    write_sines(tmp_path / "sines.h5")
    (tmp_path / "run.toml").write_text(CONFIG)
    rng, slowest, ended = np.random.default_rng(0), 0.0, 0.0
    for number in range(count(1, 10)):
        run = tmp_path / f"run_{number}"
        chosen, code = [(signal.SIGTERM, 143), (signal.SIGINT, 130)][number % 2]
        words = [sys.executable, "-m", "neuralop_jax", "train", "run.toml", "--out", run.name]
        process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while process.poll() is None and not lines_of(run):
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.2))
            sent = time.monotonic()
            process.send_signal(chosen)
            out, err = process.communicate(timeout=100)
        finally:
            process.kill()
        saved = (run / "checkpoints").stat().st_mtime - (run / "metrics.jsonl").stat().st_mtime
        slowest, ended = max(slowest, saved), max(ended, time.monotonic() - sent)
        assert (process.returncode, err) == (code, "")
        assert (
            f"Stopped and saved in {run.name}. Continue with: neuralop-jax train run.toml --resume" in out and "goodput " in out
        )
        with checkpoint.CheckpointStore(run / "checkpoints", read_only=True) as store:
            assert store.steps() == [lines_of(run)[-1]["step"]]
    print(
        f"{count(1, 10)} signals: rc 143 (SIGTERM) or 130 (SIGINT), saved at most {slowest:.2f} s after the step, process ended at "
        f"most {ended:.2f} s after the signal"
    )
    assert slowest < count(60, 2)


@pytest.mark.parametrize("where", ["interval", "evaluation", "display"])
def test_f05_exceptions_and_ctrl_c_save_what_was_trained(configure, quiet, run, monkeypatch, where):
    config, errors = configure(training={"evaluate_every": 2, "save_every": 12, "ema": 0.9}), {"test_8": {"relative_l2": 0.5}}
    monkeypatch.setattr(_loop, "_evaluate", lambda *args: errors)
    fit(config, run_dir=run, console=quiet)
    other, calls = run.with_name("b"), iter(range(100))

    def third_fails(usual, error):
        def function(*args):
            if next(calls) == 2:
                raise error
            return usual(*args)

        return function

    with monkeypatch.context() as patch:
        if where == "interval":
            patch.setattr(_loop, "_fetched", third_fails(_loop._fetched, KeyboardInterrupt()))
        elif where == "evaluation":
            patch.setattr(_loop, "_evaluate", third_fails(_loop._evaluate, MemoryError()))
        else:
            patch.setattr(_loop, "describe", third_fails(_loop.describe, ZeroDivisionError()))
        with pytest.raises((KeyboardInterrupt, MemoryError, ZeroDivisionError)):
            fit(config, run_dir=other, console=quiet)
    with checkpoint.CheckpointStore(other / "checkpoints", read_only=True) as store:
        assert store.steps() == [6]
    assert "saved at step 6 after " in (other / "run.log").read_text()
    fit(config, run_dir=other, resume=True, console=quiet)
    assert logged(other) == logged(run)
    assert [line["splits"] for line in lines_of(other)] == [errors] * 6
