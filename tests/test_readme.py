"""The examples of the README run as they stand."""

import re
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["model", "solvers", "own data"])
def test_example(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with h5py.File("mine.h5", "w") as file:
        for split, count in (("train", 16), ("test", 4)):
            source = rng.standard_normal((count, 16, 16)).astype(np.float32)
            file[f"{split}/source"], file[f"{split}/temperature"] = source, 0.5 * source
    names = {}
    exec(block, names)
    if "operator" in names:
        assert (tmp_path / "sample.png").stat().st_size > 5000
        assert (tmp_path / "runs/mine/results.json").exists()
    elif "flow" in names:
        assert names["flow"].values.shape == (11, 1, 64, 64)
        assert names["flow"].successful
        assert (
            names["sensitivity"].min() < 0 and names["sensitivity"].max() <= 0
        )  # more permeable anywhere, less pressure on average
    else:
        assert names["finer"].shape == (1, 200, 90)
        assert jax.numpy.all(jax.numpy.isfinite(names["pressure"]))
