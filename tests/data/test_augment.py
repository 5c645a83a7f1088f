import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data import augment, reflect, transpose
from neuralop_jax.errors import ConfigError

KEYS = jax.random.split(jax.random.key(0), 400)


def pair(*shape):
    u, v = jax.random.normal(jax.random.key(1), (2, *shape), jnp.float32)
    return u, v[:1]


def many(function, u, v):
    return map(np.asarray, jax.jit(jax.vmap(lambda key: function(u, v, key=key)))(KEYS))


def test_transpose_takes_both_or_neither_half_of_the_time():
    u, v = pair(2, 5, 5)
    us, vs = many(transpose, u, v)
    turned = (us == np.asarray(u.mT)).all((1, 2, 3))
    np.testing.assert_array_equal(us, np.where(turned[:, None, None, None], u.mT, u))
    np.testing.assert_array_equal(vs, np.where(turned[:, None, None, None], v.mT, v))
    assert 160 < turned.sum() < 240
    assert us.dtype == jnp.float32


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 2)])
def test_reflect_draws_every_combination_of_axes(shape):
    u, v = pair(2, *shape)
    us, vs = many(reflect, u, v)
    counts = []
    for choice in np.ndindex(*[2] * len(shape)):
        axes = tuple(1 + axis for axis, chosen in enumerate(choice) if chosen)
        same = (us == np.flip(np.asarray(u), axes)).reshape(400, -1).all(1)
        np.testing.assert_array_equal(same, (vs == np.flip(np.asarray(v), axes)).reshape(400, -1).all(1))
        counts.append(int(same.sum()))
    assert sum(counts) == 400
    assert min(counts) > 0.6 * 400 / 2 ** len(shape)


def test_transpose_commutes_with_the_darcy_operator():
    """-div(a grad v) on a square, by central differences: the image of a solution solves the equation of the image."""

    def residual(a, v):
        faces = [(jnp.roll(a, -1, axis) + a) / 2 for axis in (0, 1)]
        return sum(f * (v - jnp.roll(v, -1, x)) + jnp.roll(f, 1, x) * (v - jnp.roll(v, 1, x)) for x, f in enumerate(faces))

    a, v = pair(1, 6, 6)
    turned = transpose(a, v, key=next(key for key in KEYS if jax.random.bernoulli(key)))
    np.testing.assert_array_equal(turned[0], a.mT)
    np.testing.assert_allclose(residual(turned[0][0], turned[1][0]), residual(a[0], v[0]).T, atol=1e-5)


def test_augment_combines_independent_draws():
    u, v = pair(1, 4, 4)
    us, _ = many(lambda u, v, key: augment(("transpose", "reflect"), u, v, key=key), u, v)
    assert len(np.unique(np.asarray(us).reshape(400, -1), axis=0)) == 8
    np.testing.assert_array_equal(augment((), u, v, key=KEYS[0])[0], u)


def test_refusals():
    u, v = pair(1, 4, 5)
    with pytest.raises(ConfigError, match=r"needs square fields.*\(1, 4, 5\)"):
        transpose(u, v, key=KEYS[0])
    with pytest.raises(ConfigError, match="needs square fields"):
        transpose(*pair(1, 4), key=KEYS[0])
    with pytest.raises(ConfigError, match="equal dimension"):
        reflect(u, v[:, 0], key=KEYS[0])
    with pytest.raises(ConfigError, match="Did you mean 'reflect'"):
        augment(("relfect",), u, v, key=KEYS[0])
