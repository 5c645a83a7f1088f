import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import losses
from neuralop_jax.grids import Grid


def test_the_mean_of_the_losses_of_the_patches(getkey):
    prediction, target = jax.random.normal(getkey(), (2, 3, 8, 12))
    quarters = [(slice(None), slice(i, i + 4), slice(j, j + 6)) for i in (0, 4) for j in (0, 6)]
    wanted = np.mean([np.linalg.norm((prediction - target)[q]) / np.linalg.norm(target[q]) for q in quarters])
    np.testing.assert_allclose(losses.per_patch(losses.relative_l2, 1)(prediction, target), wanted, rtol=1e-12)
    np.testing.assert_allclose(losses.per_patch(losses.mse, 2)(prediction, target), losses.mse(prediction, target), rtol=1e-12)
    assert losses.per_patch(losses.mse, 0) is losses.mse


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_a_patch_has_the_spacing_of_the_field_and_no_periodic_axis(boundary):
    """x against 1: the squared norms of error and slope are exact for a linear field, in the field's unit of length."""
    grid = Grid((16,), ((0.0, 4.0),), (boundary,))
    x = jnp.asarray(grid.coordinates()[0])
    found = losses.per_patch(losses.relative_h1, 1)((1 + x)[None], jnp.ones((1, 16)), grid)
    halves = [np.sqrt(np.mean(half**2) + 1) for half in (x[:8], x[8:])]
    np.testing.assert_allclose(found, np.mean(halves), rtol=1e-12)


def test_fields_that_cannot_be_cut():
    with pytest.raises(ValueError, match=r"\(6,\) points cannot be cut into 4 equal patches"):
        losses.per_patch(losses.mse, 2)(jnp.ones((1, 6)), jnp.ones((1, 6)))


def test_differences_around_a_periodic_axis():
    """sin(2 pi k x/a): a central difference sees the wavenumber sin(2 pi k h/a)/h, and the shortest wave not at all."""
    grid = Grid((8,), ((0.0, 2.0),), ("periodic",))
    x, one = grid.coordinates()[0], jnp.ones((1, 8))
    for k, seen in ((1, np.sin(2 * np.pi / 8) / 0.25), (4, 0.0)):
        wave = jnp.asarray(np.cos(2 * np.pi * k * x / 2))[None]
        wanted = np.sqrt(np.mean(wave**2) * (1 + seen**2))
        np.testing.assert_allclose(losses.difference_h1(1 + wave, one, grid), wanted, rtol=1e-12)
    wave = jnp.asarray(np.sin(np.pi * x))[None]
    np.testing.assert_allclose(losses.relative_h1(1 + wave, one, grid), np.sqrt((1 + np.pi**2) / 2), rtol=1e-12)


@pytest.mark.parametrize(("shape", "numbers"), [((17,), 1.7676932345074652), ((9, 12), 1.3631735192047774)])
def test_differences_are_those_of_the_original(shape, numbers):
    """`H1Loss(measure=[2, 0.5][:d], reduction="mean", eps=0)` of neuraloperator 2.0, on fields that both can make."""
    compare = functools.partial(
        losses.difference_h1, grid=Grid(shape, ((0.0, 2.0), (0.0, 0.5))[: len(shape)], ("periodic",) * len(shape))
    )
    count = np.prod(shape)
    x, y = (np.sin(a * np.arange(count) ** 2).reshape(1, *shape) for a in (0.37, 0.81))
    np.testing.assert_allclose(compare(jnp.asarray(x), jnp.asarray(y)), numbers, rtol=1e-12)
