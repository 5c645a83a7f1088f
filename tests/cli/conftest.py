import contextlib
import io
import shutil

import numpy as np
import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.data import write_hdf5
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

CONFIG = """
[data]
path = "smooth.h5"
input = ["a"]
target = ["v"]
batch_size = 4

[model]
kind = "fno"
n_modes = [4, 4]
width = 4
depth = 1

[training]
steps = 6
log_every = 2
save_every = 2
"""


def smooth_fields(num_samples, size, seed):
    """Random sines on the periodic unit square, and twice their shift: an operator that is easy to learn on any grid."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    phase = rng.uniform(0, 1, (num_samples, 1, 1))
    return np.sin(2 * np.pi * (x + phase)) + np.cos(2 * np.pi * y), 2 * np.sin(2 * np.pi * (x + phase + 0.25))


def write_files(directory):
    """A configuration and a data file: `train` and `test_8` of 8 x 8 points, `test_16` of 16 x 16."""
    sizes = {"train": (12, 8), "test_8": (5, 8), "test_16": (3, 16)}
    splits, arrays = {}, {}
    for seed, (name, (count, size)) in enumerate(sizes.items()):
        splits[name] = SplitInfo(count, Grid((size, size), boundary=("periodic", "periodic")))
        arrays[name] = dict(zip(("a", "v"), smooth_fields(count, size, seed), strict=True))
    info = DatasetInfo("smooth", "Shifted waves", (FieldInfo("a", "m"), FieldInfo("v", "m/s")), splits)
    write_hdf5(directory / "smooth.h5", info, arrays)
    (directory / "run.toml").write_text(CONFIG)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory that holds `write_files`."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """A directory that holds `write_files` and a finished run in runs/a, and what the training printed."""
    directory, out = tmp_path_factory.mktemp("trained"), io.StringIO()
    write_files(directory)
    with contextlib.chdir(directory), contextlib.redirect_stdout(out):
        assert main(["train", "run.toml", "--out", "runs/a"]) == 0
    return directory, out.getvalue()


@pytest.fixture
def trained(trained_once, tmp_path, monkeypatch):
    """A working directory with a finished run in runs/a of its own."""
    shutil.copytree(trained_once[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
