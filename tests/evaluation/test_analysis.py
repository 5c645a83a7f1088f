"""Errors by wavenumber and in time, for predictions whose errors are known."""

import json

import equinox as eqx
import numpy as np
import pytest

from neuralop_jax.data import Sample
from neuralop_jax.evaluation import analyze
from neuralop_jax.grids import Grid
from neuralop_jax.models import AbstractOperator

LINE = Grid((64,), boundary=("periodic",))
X = 2 * np.pi * np.arange(64) / 64
TIMES = (0.5, 1.0, 1.5, 2.0)


class Told(AbstractOperator):
    """The channels behind the first ones are what it predicts."""

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True, default=1)

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return u[-self.out_channels :]


def analysis(prediction, target, grid=LINE, **options):
    return analyze(Told(target.shape[1], target.shape[1]), Sample({"u": prediction}, target), grid=grid, **options)


@pytest.mark.parametrize("batch_size", [2, 20])
def test_bands_and_spectra_of_single_waves(batch_size):
    """Errors of 0.1, 0.2 and 0.3 with 2, 8 and 20 waves, of a target with one wave of another amplitude in each sample."""
    size = np.array([1.0, 2.0, 4.0])[:, None, None]
    target = size * np.sin(X)
    error = size * sum(a * np.cos(k * X + a) for a, k in ((0.1, 2), (0.2, 8), (0.3, 20)))
    found = analysis(target + error, target, batch_size=batch_size)
    np.testing.assert_allclose(found["bands"]["relative_l2"], [0.1, 0.2, 0.3], rtol=1e-10)
    wanted = {"target": {1: 1.0}, "error": {2: 0.01, 8: 0.04, 20: 0.09}, "prediction": {1: 1.0, 2: 0.01, 8: 0.04, 20: 0.09}}
    for name, peaks in wanted.items():
        shares = np.zeros(33)
        shares[list(peaks)] = list(peaks.values())
        np.testing.assert_allclose(found["spectra"][name], shares, atol=1e-12)
    assert "rollout" not in found and json.loads(json.dumps(found)) == found


def test_a_trajectory_that_falls_behind_and_loses_mass():
    """The prediction is late by 0.5 t and low by 0.1 t: its correlation is cos 0.5 t, which passes 0.8 between 1 and 1.5."""
    t = np.asarray(TIMES)[None, :, None]
    target = np.broadcast_to(2 + np.sin(X), (3, 4, 64))
    found = analysis(2 - 0.1 * t + np.sin(X - 0.5 * t) + 0 * target, target, times=TIMES)["rollout"]
    np.testing.assert_allclose(found["correlation"], np.cos(0.5 * t[0, :, 0]), rtol=1e-10)
    np.testing.assert_allclose(found["mass_error"], 0.05 * t[0, :, 0], rtol=1e-10)
    energy = (4.5 - (2 - 0.1 * t[0, :, 0]) ** 2 - 0.5) / 4.5
    np.testing.assert_allclose(found["energy_error"], energy, rtol=1e-10)
    square = (0.1 * t[0, :, 0]) ** 2 + 2 * np.sin(0.25 * t[0, :, 0]) ** 2
    np.testing.assert_allclose(found["relative_l2"], np.sqrt(square / 4.5), rtol=1e-10)
    assert (found["correlation_time"], found["valid_prediction_time"], found["times"]) == (1.0, 2.0, [0.5, 1.0, 1.5, 2.0])
    assert "divergence" not in found


def test_velocities_tell_their_divergence():
    """Frames of two channels in the plane: Taylor-Green vortices, and the same with a part that only expands."""
    grid = Grid((16, 16), boundary=("periodic", "periodic"))
    x, y = 2 * np.pi * np.stack(np.meshgrid(*grid.coordinates(), indexing="ij"))
    flow = np.stack([np.sin(x) * np.cos(y), -np.cos(x) * np.sin(y)])
    expansion = np.stack([np.cos(x) * np.sin(y), np.sin(x) * np.cos(y)])  # slopes of equal size, all of them gradients
    target = np.tile(flow, (2, 2, 1, 1))
    found = analysis(target + 0.5 * np.tile(expansion, (2, 2, 1, 1)), target, grid, times=(1.0, 2.0))["rollout"]
    np.testing.assert_allclose(found["divergence_of_target"], 0, atol=1e-12)
    slopes = (2 * np.pi) ** 2 * np.array([1.0, 0.25])  # mean squares of all slopes of the flow and of the expansion
    np.testing.assert_allclose(found["divergence"], np.sqrt(slopes[1] / slopes.sum()), rtol=1e-8)


def test_samples_that_blow_up_are_in_no_mean():
    target = np.broadcast_to(np.sin(X), (3, 2, 64)).copy()
    prediction = 1.1 * target
    prediction[1, 1] = np.nan
    found = analysis(prediction, target, times=(1.0, 2.0))
    np.testing.assert_allclose(found["rollout"]["relative_l2"], [0.1, 0.1], rtol=1e-10)
    np.testing.assert_allclose(found["bands"]["relative_l2"], [0.1, 0, 0], atol=1e-10)
    np.testing.assert_allclose(found["spectra"]["error"][1], 0.01, rtol=1e-10)
    np.testing.assert_allclose(found["rollout"]["correlation_time"], 5 / 3, rtol=1e-12)  # it followed for one step
