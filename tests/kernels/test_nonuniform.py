import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.kernels import (
    forward_transform,
    inverse_transform,
    kept_modes,
    modes_to_points,
    points_to_modes,
    wavenumbers,
)

SHAPES = {1: (9,), 2: (9, 8), 3: (6, 5, 8)}
N_MODES = {1: (6,), 2: (5, 6), 3: (4, 3, 6)}


def grid(shape):
    axes = [np.arange(n) / n for n in shape]
    return jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(shape), -1))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_on_a_uniform_grid_they_are_the_transforms(dims, getkey):
    shape, kept = SHAPES[dims], kept_modes(N_MODES[dims], SHAPES[dims], real=True)
    u, x = jax.random.normal(getkey(), (3, 2, *shape)), grid(shape)
    own = jnp.asarray(np.broadcast_to(np.asarray(x)[:, None], (dims, 2, x.shape[1])))

    @jax.jit
    def both_ways(u, x, own):
        flat, c = u.reshape(3, 2, -1), forward_transform(u, kept)
        v = inverse_transform(c, shape, real=True).reshape(3, 2, -1)
        there = points_to_modes(flat, x, kept), points_to_modes(flat, own, kept)
        return c, v, there, (modes_to_points(c, x), modes_to_points(c, own))

    c, v, there, back = both_ways(u, x, own)
    for found in there:
        np.testing.assert_allclose(found, c, atol=1e-14)
    for found in back:
        np.testing.assert_allclose(found, v, atol=1e-13)


def test_the_highest_wavenumber_of_an_even_grid_counts_twice_at_points():
    """It is the only one: the first of two axes keeps all its wavenumbers, and agrees."""
    x, alternating = grid((8,)), jnp.asarray((-1.0) ** np.arange(8))
    c = forward_transform(alternating[None], (5,))
    np.testing.assert_allclose(inverse_transform(c, (8,), real=True)[0], alternating, atol=1e-14)
    np.testing.assert_allclose(modes_to_points(c, x)[0], 2 * alternating, atol=1e-14)
    u = jax.random.normal(jax.random.key(0), (1, 8, 8))
    c = forward_transform(u, (8, 4))
    v, found = jax.jit(lambda c, x: (inverse_transform(c, (8, 8), real=True).reshape(1, -1), modes_to_points(c, x)))(
        c, grid((8, 8))
    )
    np.testing.assert_allclose(found, v, atol=1e-13)


def test_sums_over_scattered_points_by_their_definition(getkey):
    u, x, kept = jax.random.normal(getkey(), (2, 3, 11)), jax.random.uniform(getkey(), (2, 3, 11), minval=-2, maxval=2), (4, 3)
    k = np.stack(np.meshgrid(wavenumbers(4), wavenumbers(3, half=True), indexing="ij")).reshape(2, -1)
    wave = np.exp(-2j * np.pi * np.einsum("dm,dbn->mbn", k, x))
    wanted = np.einsum("cbn,mbn->mbc", u, wave).reshape(4, 3, 3, 2) / 11
    real, imaginary = points_to_modes(u, x, kept)
    np.testing.assert_allclose(real + 1j * imaginary, wanted, atol=1e-14)
    factor = np.where(k[1] == 0, 1, 2)
    values = np.einsum("m,mbc,mbn->cbn", factor, wanted.reshape(12, 3, 2), wave.conj()).real
    np.testing.assert_allclose(modes_to_points(jnp.stack([real, imaginary]), x), values, atol=1e-13)


def test_low_precision_sums_in_single():
    x, u = jnp.linspace(0, 1, 7, dtype=jnp.float32)[None], jnp.ones((1, 7), jnp.bfloat16)
    c = points_to_modes(u, x, (3,))
    assert c.dtype == jnp.float32
    np.testing.assert_allclose(c[0, 0], 1, atol=1e-2)
