"""The examples of the README run as they stand."""

import re
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

from neuralop_jax.models import REGISTRY, build, spec_of

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["model", "implicit", "solvers", "own data", "own model", "flax"])
def test_example(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with h5py.File("mine.h5", "w") as file:
        for split, count in (("train", 16), ("test", 4)):
            source = rng.standard_normal((count, 16, 16)).astype(np.float32)
            file[f"{split}/source"], file[f"{split}/temperature"] = source, 0.5 * source
    names, kinds = {}, set(REGISTRY)
    exec(block, names)
    if "module" in names:
        u = jax.numpy.ones((2, 1, 16, 16))
        values = [names["apply"](names["init"](), u), names["module"](u), names["model"].batched(u)]
        np.testing.assert_allclose(values[0], values[2], rtol=1e-5)
        np.testing.assert_allclose(values[1], values[2], rtol=1e-5)
        assert names["operator"](u[0]).shape == (1, 16, 16)
    elif "PointwiseMLP" in names:
        model = build({"kind": "pointwise_mlp", "in_channels": 1, "out_channels": 2}, key=jax.random.key(0))
        assert model(jax.numpy.ones((1, 4, 5))).shape == (2, 4, 5) and spec_of(model)["width"] == 32
    elif "operator" in names:
        assert (tmp_path / "sample.png").stat().st_size > 5000
        assert (tmp_path / "runs/mine/results.json").exists()
    elif "flow" in names:
        assert names["flow"].values.shape == (11, 1, 64, 64)
        assert names["flow"].successful
        assert (
            names["sensitivity"].min() < 0 and names["sensitivity"].max() <= 0
        )  # more permeable anywhere, less pressure on average
    elif "slope" in names:
        assert names["solution"].values.shape == (11, 2) and names["solution"].successful
        x, a = names["equilibrium"](jax.numpy.zeros(3), 0.1 * jax.numpy.eye(3)), 0.1
        rate = 1 - x[0] ** 2  # x = tanh(a x + 1) for each by itself
        np.testing.assert_allclose(np.diag(names["slope"]), rate * x[0] / (1 - a * rate), rtol=1e-4)
    else:
        assert names["finer"].shape == (1, 200, 90)
        assert jax.numpy.all(jax.numpy.isfinite(names["pressure"]))
    for kind in set(REGISTRY) - kinds:
        del REGISTRY[kind]
