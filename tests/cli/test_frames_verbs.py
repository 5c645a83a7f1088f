"""The verbs with operators that make trajectories: other frames than those of the training."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from neuralop_jax import checkpoint, models
from neuralop_jax.__main__ import main
from neuralop_jax.data import HDF5Dataset

DATA = Path(__file__).parents[2] / "datasets/burgers_small/burgers_small.h5"
CONFIG = """
[data]
path = "burgers.h5"
input = ["velocity"]
target = ["velocity"]
input_time = "first"
target_time = "4::4"

[model]
kind = "autoregressive"

[model.operator]
kind = "fno"
n_modes = [4]
width = 4
depth = 1

[training]
steps = 4
log_every = 2
save_every = 4
"""


def test_frames_between_are_evaluated_and_other_operators_refuse(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA, "burgers.h5")
    Path("run.toml").write_text(CONFIG)
    assert main(["train", "run.toml", "--out", "run"]) == 0
    assert main(["evaluate", "run", "--frames", "1:4:2"]) == 0
    splits = json.loads(Path("run/results.json").read_text())["splits"]
    assert set(splits) == {"test_16", "test_16 frames 1:4:2"}
    assert "velocity, t = 0.24" in Path("run/report.html").read_text()

    dataset = HDF5Dataset("burgers.h5", "test_16", "velocity", "velocity", input_time="first", target_time="1:4:2")
    sample = dataset.read_all()
    operator = models.at_times(checkpoint.load("run"), dataset.times)
    wrong = np.asarray(operator.batched(jnp.asarray(sample.inputs["u"]))) - sample.target
    norms = np.linalg.norm(wrong, axis=(1, 2)) / np.linalg.norm(sample.target, axis=(1, 2))
    np.testing.assert_allclose(splits["test_16 frames 1:4:2"]["relative_l2"], norms.mean(), rtol=1e-5)

    Path("plain.toml").write_text(CONFIG.replace('"4::4"', '"last"').replace('kind = "autoregressive"\n\n[model.operator]\n', ""))
    assert main(["train", "plain.toml", "--out", "plain"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "plain", "--frames", "1::2"]) == 2
    assert "FNO returns what it was trained on, not states at any times" in capsys.readouterr().err
