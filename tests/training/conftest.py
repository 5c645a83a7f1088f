"""A small problem, and an operator that compiles in no time, for the tests of the loop around the step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from neuralop_jax.config import DataConfig, ExperimentConfig, ModelConfig, OptimizerConfig, TrainingConfig
from neuralop_jax.data import write_hdf5
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.models import AbstractOperator
from neuralop_jax.models.registry import REGISTRY


class Pointwise(AbstractOperator):
    """v = B tanh(A u) in the channels: a registered operator without a Fourier transform."""

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    inner: jax.Array
    outer: jax.Array

    def __init__(self, *, in_channels: int, out_channels: int, width: int = 4, key):
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        inner, outer = jax.random.split(key)
        self.inner = jax.random.normal(inner, (width, in_channels))
        self.outer = jax.random.normal(outer, (out_channels, width)) / width

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return jnp.einsum("oi,i...->o...", self.outer, jnp.tanh(jnp.einsum("oi,i...->o...", self.inner, u)))


@pytest.fixture
def data_file(tmp_path):
    """Twelve training samples and two held-out splits of v = sin(a - 2) + 3 on 8 and 16 points."""
    rng = np.random.default_rng(0)
    sizes = {"train": (12, 8), "test_8": (5, 8), "test_16": (3, 16)}
    splits, arrays = {}, {}
    for name, (count, points) in sizes.items():
        a = rng.normal(2.0, 1.5, (count, points)) + (name != "train")
        splits[name], arrays[name] = SplitInfo(count, Grid((points,))), {"a": a, "v": np.sin(a - 2) + 3}
    info = DatasetInfo("sines", "Sines", (FieldInfo("a", "m"), FieldInfo("v", "m/s")), splits)
    write_hdf5(tmp_path / "sines.h5", info, arrays)
    return tmp_path / "sines.h5"


@pytest.fixture
def configure(data_file, monkeypatch):
    """A configuration of the small problem; options are given by section."""
    monkeypatch.setitem(REGISTRY, "pointwise", Pointwise)

    def configure(*, data=None, model=None, optimizer=None, training=None, **others):
        return ExperimentConfig(
            DataConfig(str(data_file), ("a",), ("v",), **{"batch_size": 4, **(data or {})}),
            ModelConfig("pointwise", model or {}),
            optimizer=OptimizerConfig(**{"learning_rate": 1e-2, "weight_decay": 0.0, **(optimizer or {})}),
            training=TrainingConfig(**{"steps": 12, "log_every": 2, "save_every": 4, **(training or {})}),
            **others,
        )

    return configure


@pytest.fixture
def quiet():
    return Console(quiet=True)
