"""A small problem, and an operator that compiles in no time, for the tests of the loop around the step and of its faults."""

import json

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
from neuralop_jax.training import StopRequest


class Pointwise(AbstractOperator):
    """v = B f(A u) in the channels: a registered operator without a Fourier transform."""

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    inner: jax.Array
    outer: jax.Array

    def __init__(self, *, in_channels: int, out_channels: int, width: int = 4, activation: str = "tanh", key):
        self.in_channels, self.out_channels, self.width, self.activation = in_channels, out_channels, width, activation
        inner, outer = jax.random.split(key)
        self.inner = jax.random.normal(inner, (width, in_channels))
        self.outer = jax.random.normal(outer, (out_channels, width)) / width

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        act = {"tanh": jnp.tanh, "relu": jax.nn.relu}[self.activation]
        return jnp.einsum("oi,i...->o...", self.outer, act(jnp.einsum("oi,i...->o...", self.inner, u)))


def write_sines(path, num_train=12, among_training=0):
    """Training samples and two held-out splits of v = sin(a - 2) + 3 on 8 and 16 points, some of the first trained on."""
    rng = np.random.default_rng(0)
    sizes = {"train": (num_train, 8), "test_8": (5, 8), "test_16": (3, 16)}
    splits, arrays = {}, {}
    for name, (count, points) in sizes.items():
        a = rng.normal(2.0, 1.5, (count, points)) + (name != "train")
        if name == "test_8":
            a[:among_training] = arrays["train"]["a"][:among_training]
        splits[name], arrays[name] = SplitInfo(count, Grid((points,))), {"a": a, "v": np.sin(a - 2) + 3}
    info = DatasetInfo("sines", "Sines", (FieldInfo("a", "m"), FieldInfo("v", "m/s")), splits)
    path.unlink(missing_ok=True)
    write_hdf5(path, info, arrays)


@pytest.fixture
def data_file(tmp_path):
    """The small problem with twelve training samples."""
    write_sines(tmp_path / "sines.h5")
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


def lines_of(run):
    """The lines of the log of a run."""
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def logged(run):
    """Every number of the log that does not depend on the clock, with all its bits."""
    names = ("step", "loss", "gradient_norm", "learning_rate")
    return [tuple(float(line[name]).hex() for name in names) for line in lines_of(run)]


class StopAt(StopRequest):
    """A request that is made once a run has logged a step."""

    def __init__(self, run, step):
        super().__init__()
        self._run, self._step = run, step

    @property
    def requested(self):
        lines = lines_of(self._run)
        return bool(lines) and lines[-1]["step"] >= self._step
