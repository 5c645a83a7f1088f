"""What figures say to arrays that they cannot show, and how they show what is not finite. Nothing is rendered."""

import dataclasses

import numpy as np
import pytest

from neuralop_jax import viz
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.viz import (
    InversionCurves,
    Label,
    plot_curves,
    plot_distribution,
    plot_inversion,
    plot_resolutions,
    plot_spectra,
)
from neuralop_jax.viz._arrays import check_named
from neuralop_jax.viz._curves import _bar, _points
from neuralop_jax.viz._fields import _labels

SQUARE, ONE, TWO = Grid((4, 5)), np.ones((1, 4, 5)), np.ones((2, 4, 5))
CURVES = InversionCurves([2.0, 1.0], [0.5, 0.1], np.arange(3.0), np.arange(3.0), 0.1)
SENSORS = np.zeros((3, 2))


def panels(u=ONE, target=ONE, prediction=ONE, grid=SQUARE, **labels):
    return viz.sample_panels(u, target, prediction, grid, **labels)


def inversion(truth=ONE, found=ONE, grid=SQUARE, points=SENSORS, **changes):
    return plot_inversion(truth, found, grid, points, dataclasses.replace(CURVES, **changes), label=Label("a"))


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: plot_curves({}, "y"), "plot_curves needs at least one curve, got none. Give it by its name."),
        (
            lambda: check_named("plot_curves", "curve", [1, 2]),
            "plot_curves needs every curve by its name, got list. Give a dictionary.",
        ),
        (
            lambda: plot_curves({"a": ([], [])}, "y"),
            "plot_curves needs the steps of 'a' as a list of numbers, got shape (0,). Leave out what is empty.",
        ),
        (
            lambda: plot_curves({"a": ([1, 2, 3], [1, 2])}, "y"),
            "plot_curves needs lists of one length, got 3 for the steps of 'a', 2 for the values of 'a'. Cut them to the same points.",
        ),
        (
            lambda: _points("a", [1, 2, 3]),
            "plot_curves needs 'a' as a pair, got [1, 2, 3]. Write (steps, values).",
        ),
        (
            lambda: plot_curves({"a": ([1, 2], np.ones((2, 3)))}, "y"),
            "plot_curves needs the values of 'a' as a list of numbers, got shape (2, 3). "
            "Give one number after the other, along one axis.",
        ),
        (
            lambda: plot_curves({"a": ([0, 1], [1.0, np.nan])}, "y", log_over=True),
            "plot_curves has no finite value at a positive place for log_over=True. Leave log_over out.",
        ),
        (lambda: plot_resolutions({}, "e"), "plot_resolutions needs at least one split, got none. Give it by its name."),
        (
            lambda: _bar("a", ((4, 4), 0.5)),
            "plot_resolutions needs 'a' as a triple of grid and two numbers, got ((4, 4), 0.5). Write ((16, 16), mean, deviation).",
        ),
        (lambda: plot_distribution({}, "e"), "plot_distribution needs at least one split, got none. Give it by its name."),
        (
            lambda: plot_distribution({"a": np.zeros(0)}, "e"),
            "plot_distribution needs 'a' as a list of numbers, got shape (0,). Leave out what is empty.",
        ),
        (
            lambda: panels(u=ONE[0]),
            "a picture of a sample needs u as (channels, *space) = (channels, 4, 5), got (4, 5). Add the channel axis with u[None].",
        ),
        (
            lambda: panels(target=ONE[None]),
            "a picture of a sample needs target as (channels, *space) = (channels, 4, 5), got (1, 1, 4, 5). "
            "Select one sample, such as target[0].",
        ),
        (
            lambda: panels(prediction=TWO),
            "a picture of a sample needs prediction as (channels, *space) = (1, 4, 5), got (2, 4, 5). "
            "Select the channels that are compared.",
        ),
        (
            lambda: panels(prediction=np.ones((1, 8, 10))),
            "a picture of a sample needs prediction as (channels, *space) = (1, 4, 5), got (1, 8, 10). "
            "Give the grid that the values are on.",
        ),
        (
            lambda: panels(target=TWO, prediction=TWO, output=[Label("v")]),
            "a picture of a sample needs 2 Label for output, one per channel, got [Label(name='v', unit='1')]. Label all or none.",
        ),
        (
            lambda: _labels("input", ["u"], 1),
            "a picture of a sample needs 1 Label for input, one per channel, got ['u']. Label all or none.",
        ),
        (
            lambda: panels(u=1j * ONE),
            "a picture of a sample needs u as an array of real numbers: got complex128; show its real part, or its size by np.abs.",
        ),
        (
            lambda: plot_spectra(np.ones(8), np.ones(6), np.ones(8), limit=4.0),
            "plot_spectra needs lists of one length, got 8 for target, 6 for prediction, 8 for error. Cut them to the same points.",
        ),
        (
            lambda: plot_spectra(np.zeros(8), np.full(8, np.nan), np.zeros(8), limit=4.0),
            "plot_spectra found no energy at the wavenumbers 1 to 4. Give spectra of fields that vary.",
        ),
        (
            lambda: plot_spectra(np.ones(8), np.ones(8), np.ones(8), limit=np.nan),
            "plot_spectra needs limit as a wavenumber above 0, got nan. Take metrics.nyquist(grid).",
        ),
        (
            lambda: viz.plot_certificate({}),
            "plot_certificate needs what evaluation.certify returns, got no 'grids'. Certify a model.",
        ),
        (
            lambda: inversion(found=ONE[0]),
            "plot_inversion needs found as (channels, *space) = (1, 4, 5), got (4, 5). Add the channel axis with found[None].",
        ),
        (
            lambda: inversion(grid=Grid((4,))),
            "plot_inversion shows coefficients on grids of 2 dimensions, got 1. Cut them through.",
        ),
        (
            lambda: inversion(points=np.zeros((2, 3))),
            "plot_inversion needs points as (sensors, 2), got (2, 3). Give x and y of one sensor in a row.",
        ),
        (
            lambda: inversion(misfit=[]),
            "plot_inversion needs curves.misfit as a list of numbers, got shape (0,). Leave out what is empty.",
        ),
        (
            lambda: inversion(observed=np.ones(4)),
            "plot_inversion needs lists of one length, got 4 for observed, 3 for predicted. Cut them to the same points.",
        ),
        (
            lambda: viz.table(("a", "b"), [(1, 2), (1,)]),
            "table needs 2 cells in every row, as heads, got 1 in row 1.",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(draw, said):
    with pytest.raises(ConfigError) as refused:
        draw()
    assert str(refused.value) == said


def test_samples_that_diverged_are_beyond_every_error():
    (axes,) = plot_distribution({"test": [0.1, np.nan, 0.3, np.inf], "lost": [np.nan, np.nan]}, "error").axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0.1, 0], [0.1, 0.25], [0.3, 0.5]])
    assert axes.lines[1].get_xdata() == [np.inf] and len(axes.lines[2].get_xdata()) == 0
    np.testing.assert_allclose(axes.get_xlim(), (0, 1.05 * 0.3))
    (axes,) = plot_resolutions({"a": ((4, 4), 0.2, 0.1), "lost": ((8, 8), np.nan, np.nan)}, "error").axes
    np.testing.assert_allclose(axes.get_ylim(), (0, 1.1 * 0.3))


@pytest.mark.parametrize("shape", [(6,), (4, 5)])
def test_a_prediction_that_diverged_leaves_the_scale_to_the_target(shape):
    target = np.linspace(0, 1, np.prod(shape)).reshape(1, *shape)
    for value in (np.nan, np.inf):
        (row,) = panels(target, target, np.full((1, *shape), value), Grid(shape))
        prediction, error = row[-2:]
        room = 0.05 if len(shape) == 1 else 0.0
        assert prediction.limits == (-room, 1 + room) and error.limits == (-1, 1)
        prediction.figure()
