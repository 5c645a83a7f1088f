"""A training killed at any moment and resumed logs the same numbers, bit for bit, as one that nobody disturbed."""

import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np

CONFIG = """
[data]
path = "waves.h5"
input = ["a"]
target = ["v"]
batch_size = 4
augment = ["reflect"]
loader = "{loader}"

[model]
{model}

[training]
steps = {steps}
log_every = 2
save_every = 6
ema = 0.9
micro_batch = 2
"""
FAMILIES = {
    "deeponet": ("device", 'kind = "deeponet"\nwidth = 4\nbranch_hidden = [8, 8]'),
    "fno": ("grain", 'kind = "fno"\nn_modes = [4, 4]\nwidth = 4\ndepth = 1'),
    "factformer": ("device", 'kind = "factformer"\nwidth = 8\ndepth = 1\nheads = 2\nhead_width = 4'),
}
NURSERY = """
import os, sys, time, traceback
from neuralop_jax.config import load_config
from neuralop_jax.training import DeviceInterval, StreamInterval, fit

def train(config, run, *words):
    if "slow" in words:
        for kind in DeviceInterval, StreamInterval:
            advance = kind.__call__
            kind.__call__ = lambda *args, advance=advance: (time.sleep(0.03), advance(*args))[1]
    fit(load_config(config), run_dir=run, resume="resume" in words)

for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        try:
            train(*line.split())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """A process that has imported everything and forks one training after the other."""

    def __init__(self, place):
        words = [sys.executable, "-W", "ignore", "-c", NURSERY]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, cwd=place, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def start(self, *words):
        """Starts a training and gives its process."""
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self):
        """Waits for the training and gives its exit code."""
        return int(self._process.stdout.readline())

    def close(self):
        """Ends the process and gives what it and its children complained of."""
        return self._process.communicate()[1]


def lines_of(run):
    path = run / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def logged(run):
    entries = [json.loads(line) for line in lines_of(run)]
    return [(entry["step"], *(entry[name].hex() for name in ("loss", "gradient_norm", "learning_rate"))) for entry in entries]


def test_f03_killed_and_resumed_to_the_bit(tmp_path, count):
    rng, kills, steps = np.random.default_rng(0), count(1, 3), count(40, 150)
    a = rng.normal(size=(12, 8, 8)).astype("f4")
    with h5py.File(tmp_path / "waves.h5", "w") as file:
        file["a"], file["v"] = a, np.sin(a)
    nursery, compared = Nursery(tmp_path), 0
    for family in list(FAMILIES)[: count(1, 3)]:
        loader, model = FAMILIES[family]
        config, whole, killed = f"{family}.toml", tmp_path / f"{family}_whole", tmp_path / f"{family}_killed"
        (tmp_path / config).write_text(CONFIG.format(loader=loader, model=model, steps=steps))
        nursery.start(config, whole.name)
        assert nursery.end() == 0, nursery.close()
        for number in range(kills):
            resume = ["resume"] if number else []
            child = nursery.start(config, killed.name, "slow", *resume)
            part = steps // 2 // kills
            target = int(rng.integers(max(5, number * part), (number + 1) * part))
            while len(lines_of(killed)) < target:
                time.sleep(0.005)
            os.kill(child, signal.SIGKILL)
            assert nursery.end() == -signal.SIGKILL and not (killed / "DONE").exists()
        nursery.start(config, killed.name, "resume")
        assert nursery.end() == 0, nursery.close()
        wanted, found = logged(whole), logged(killed)
        assert len(wanted) == steps // 2 and found == wanted
        compared += len(found)
        goodput = json.loads((killed / "results.json").read_text())["goodput"]
        assert 0 < goodput["fraction"] < 1
        assert (killed / "run.log").read_text().count("training from step") == kills + 1
    complaints = nursery.close()
    assert "Traceback" not in complaints, complaints
    print(f"{count(1, 3)} families x {kills} kills x {steps} steps: 0 of {compared} logged losses differ by a bit")
