"""A training killed at any moment and resumed logs the same numbers, bit for bit, as one that nobody disturbed."""

import json
import subprocess
import sys
import time

import h5py
import numpy as np

CONFIG = """
[data]
path = "sines.h5"
input = ["a"]
target = ["v"]
batch_size = 4
augment = ["reflect"]

[model]
kind = "fno"
n_modes = [4]
width = 4
depth = 1

[training]
steps = 60
log_every = 2
save_every = 6
ema = 0.9
micro_batch = 2
"""
TRAIN = """
import sys, time
from neuralop_jax.config import load_config
from neuralop_jax.training import DeviceInterval, fit
if "slow" in sys.argv:
    advance = DeviceInterval.__call__
    DeviceInterval.__call__ = lambda *args: (time.sleep(0.05), advance(*args))[1]
fit(load_config("run.toml"), run_dir=sys.argv[1], resume="resume" in sys.argv)
"""


def test_killed_and_resumed(tmp_path):
    place, a = tmp_path, np.random.default_rng(0).normal(size=(12, 8))
    with h5py.File(place / "sines.h5", "w") as file:
        file["a"], file["v"] = a, np.sin(a)
    (place / "run.toml").write_text(CONFIG)

    def start(*words):
        return subprocess.Popen(
            [sys.executable, "-c", TRAIN, *words], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def lines(run):
        path = place / run / "metrics.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    def logged(run):
        entries = [json.loads(line) for line in lines(run)]
        return [(entry["step"], *(entry[name].hex() for name in ("loss", "gradient_norm", "learning_rate"))) for entry in entries]

    whole, killed = start("whole"), start("killed", "slow")
    while len(lines("killed")) < 8 and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert 8 <= len(lines("killed")) < 30 and not (place / "killed" / "DONE").exists()
    resumed = start("killed", "resume")
    for process in (whole, resumed):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output.decode()
    assert len(logged("whole")) == 30 and logged("killed") == logged("whole")
    log = (place / "killed" / "run.log").read_text()
    assert "training from step 12 to 60" in log or "training from step 18 to 60" in log
