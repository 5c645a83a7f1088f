"""The verbs with plain files whose fields have channels."""

import json
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.config import from_json

CONFIG = """
[data]
path = "plain.h5"
input = ["source term"]
target = ["temp"]
batch_size = 4

[model]
kind = "fno"
n_modes = [5]
width = 4
depth = 1

[training]
steps = 2
log_every = 2
save_every = 2
"""
U = np.random.default_rng(0).normal(size=(12, 2, 17)).astype(np.float32)
SPLITS = {"train": slice(8), "test": slice(8, None)}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file with this target and a configuration, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(CONFIG)

    def file(target):
        with h5py.File("plain.h5", "w") as opened:
            for name, rows in SPLITS.items():
                opened[f"{name}/source term"], opened[f"{name}/temp"] = U[rows], target[rows]

    return file


def predicted():
    """What `predict` writes for the test split of the file that the run was trained on, and what the operator returns."""
    assert main(["predict", "run", "plain.h5", "out.npz", "--split", "test"]) == 0
    wanted = np.asarray(checkpoint.load("run").batched(jnp.asarray(U[SPLITS["test"]])))
    with np.load("out.npz") as out:
        return out["temp"], wanted


def test_predict_reads_the_input_alone_as_in_training(write):
    write(U.sum(axis=1))
    assert main(["train", "run.toml", "--out", "run"]) == 0
    stored = json.loads(Path("run/config.json").read_text())
    assert stored["data"].pop("num_dims") == 0  # as in runs that are older than the option
    assert from_json(stored).data.num_dims == 0
    values, wanted = predicted()
    np.testing.assert_allclose(values, wanted[:, 0], rtol=1e-4, atol=1e-5)


def test_num_dims_where_every_field_has_channels(write, capsys):
    write(np.cumsum(U, axis=2))
    assert main(["train", "run.toml", "--out", "run"]) == 2
    assert "the data have 2 space axes. Give one each, or data.num_dims 1 if the first" in capsys.readouterr().err
    assert main(["train", "run.toml", "--out", "run", "--data.num-dims", "1"]) == 0
    values, wanted = predicted()
    assert values.shape == (4, 2, 17)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5)
    before = json.loads(Path("run/results.json").read_text())["splits"]
    assert main(["evaluate", "run"]) == 0
    after = json.loads(Path("run/results.json").read_text())["splits"]
    assert after["test"]["relative_l2"] == pytest.approx(before["test"]["relative_l2"], rel=1e-6)
