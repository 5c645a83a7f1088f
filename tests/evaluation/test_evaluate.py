import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.evaluation import analyze, certify, conformal_bands, coverage, evaluate, sample_errors
from neuralop_jax.grids import Grid
from neuralop_jax.models import AbstractOperator

COMPILED = []


class Gain(AbstractOperator):
    """v = a u, an operator for any grid that notes the shapes it is compiled for."""

    a: jax.Array
    in_channels: int = eqx.field(static=True, default=2)
    out_channels: int = eqx.field(static=True, default=2)
    width: int = eqx.field(static=True, default=2)

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        COMPILED.append(u.shape)
        return self.a * u


class Split:
    """A dataset that gives single samples and notes how many at most were asked for."""

    def __init__(self, sample, grid):
        self.sample, self.grid = sample, grid

    def __len__(self):
        return len(self.sample.target)

    def __getitem__(self, index):
        return Sample({"u": self.sample.inputs["u"][index]}, self.sample.target[index])


@pytest.fixture
def gain():
    COMPILED.clear()
    return Gain(jnp.float32(1.5))


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    u, target = rng.normal(size=(2, 7, 2, 6, 5)).astype(np.float32)
    return Sample({"u": u}, target)


def reference(sample):
    e, y = 1.5 * sample.inputs["u"].astype(np.float64) - sample.target, sample.target.astype(np.float64)
    norm = lambda v, axes: np.sqrt((v**2).sum(axes))
    return norm(e, (1, 2, 3)) / norm(y, (1, 2, 3)), norm(e, (2, 3)) / norm(y, (2, 3)), np.abs(e).max((1, 2, 3))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_means_spreads_and_channels_whatever_the_batch(gain, sample, batch_size):
    joint, each, largest = reference(sample)
    found = evaluate(gain, Split(sample, Grid((6, 5))), batch_size=batch_size)
    np.testing.assert_allclose(found["relative_l2"], joint.mean(), rtol=1e-6)
    np.testing.assert_allclose(found["spread"]["relative_l2"], joint.std(), rtol=1e-5)
    np.testing.assert_allclose(found["channels"]["relative_l2"], each.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found["max_error"], largest.mean(), rtol=1e-6)
    assert (found["count"], found["grid"]) == (7, [6, 5])
    assert json.loads(json.dumps(found)) == found


def test_errors_of_each_sample_in_order_and_in_double_precision(gain, sample):
    found = sample_errors(gain, sample, batch_size=3)
    assert set(found) == {"relative_l2", "relative_h1", "normalized_rmse", "max_error"}
    assert all(values.shape == (7,) and values.dtype == np.float64 for values in found.values())
    np.testing.assert_allclose(found["relative_l2"], reference(sample)[0], rtol=1e-6)


def test_arrays_with_a_grid_are_a_dataset(gain, sample):
    grid = Grid((6, 5), ((0.0, 3.0), (0.0, 1.0)), ("periodic", "open"))
    assert evaluate(gain, sample, grid=grid) == evaluate(gain, Split(sample, grid))
    assert evaluate(gain, sample, grid=grid)["relative_h1"] != evaluate(gain, sample)["relative_h1"]


def test_one_channel_is_not_listed_apart(sample):
    one = Sample({"u": sample.inputs["u"][:, :1]}, sample.target[:, :1])
    assert "channels" not in evaluate(Gain(jnp.float32(1), 1, 1), one)


def test_one_program_serves_all_batches_and_later_evaluations(gain, sample):
    grid = Grid((6, 5), ((0.0, 7.0), (0.0, 1.0)))
    evaluate(gain, sample, grid=grid, batch_size=3)
    first = len(COMPILED)
    evaluate(Gain(jnp.float32(2.0)), sample, grid=grid, batch_size=3)
    assert len(COMPILED) == first and set(COMPILED) == {(2, 6, 5)}


@pytest.mark.parametrize("measure", [evaluate, sample_errors, analyze, certify, conformal_bands, coverage])
def test_data_that_cannot_be_measured_are_refused_in_the_same_words(gain, sample, measure, monkeypatch):
    u, target = sample.inputs["u"], sample.target
    measured = gain if measure is not coverage else conformal_bands(gain, sample, alpha=0.5)
    for inputs, targets in ((7, 5), (5, 7)):
        with pytest.raises(DataError) as error:
            measure(measured, Sample({"u": u[:inputs]}, target[:targets]))
        counts = f"the Sample holds {inputs} inputs and {targets} targets, which must be as many. Give each input its target."
        assert str(error.value) == counts
    with pytest.raises(DataError, match="the data hold no sample, and at least one is needed. Check how they are split."):
        measure(measured, Sample({"u": u[:0]}, target[:0]))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no check of types
    with pytest.raises(
        DataError, match=r"must be a dataset, or arrays as one Sample, got tuple. Use data.Sample\(\{'u': u\}, ta"
    ):
        measure(measured, (u, target))
    with pytest.raises(ConfigError, match="batch_size must be >= 1, got 0."):
        measure(measured, jax.tree.map(lambda a: np.tile(a, (2, 1, 1, 1)), sample), batch_size=0)


@pytest.mark.parametrize("measure", [evaluate, sample_errors, analyze, certify, conformal_bands, coverage])
def test_targets_of_other_channels_are_not_compared(gain, sample, measure):
    """One channel of a target would be repeated for all of the prediction."""
    measured = gain if measure is not coverage else conformal_bands(gain, sample, alpha=0.5)
    data = jax.tree.map(lambda a: np.tile(a, (2, 1, 1, 1)), sample)
    with pytest.raises(DataError) as error:
        measure(measured, Sample(data.inputs, data.target[:, :1]))
    found = (
        "the operator gives (2, 6, 5) for a sample, but targets are (1, 6, 5). Give the fields that it was trained to predict."
    )
    assert str(error.value) == found


@pytest.mark.parametrize("measure", [evaluate, analyze, certify])
def test_a_grid_is_that_of_the_data(gain, sample, measure):
    with pytest.raises(ConfigError) as error:
        measure(gain, sample, grid=Grid((6, 4)))
    assert str(error.value) == "grid has shape (6, 4), but the targets have (6, 5). Give the grid of the data."
