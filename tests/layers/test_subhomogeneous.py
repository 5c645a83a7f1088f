import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import SubhomogeneousEquilibrium

SIGNED = 2 * jnp.asarray([[1.0, -1.0], [-1.0, 1.0]])


def thompson(z, y):
    return jnp.abs(jnp.log(z) - jnp.log(y)).max()


def positive(key, size=20):
    return jnp.exp(3 * jax.random.normal(key, (size,)))


def with_norm(size, key):
    weight = jax.random.uniform(key, (20, 20))
    return weight * size / jnp.linalg.norm(weight, 2)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("size", [0.33, 100.0])
def test_distances_contract_at_the_rate_and_there_is_one_solution(size, normalized):
    """Acceptance 8."""
    layer = SubhomogeneousEquilibrium(
        3, 20, weight=with_norm(size, jax.random.key(0)), normalized=normalized, rtol=1e-12, key=jax.random.key(1)
    )
    x, (a, b) = jax.random.normal(jax.random.key(2), (3,)), jax.random.split(jax.random.key(3))
    np.testing.assert_allclose(layer.contraction, 0.247 * (1 + normalized), atol=5e-4)
    z, y, solution = positive(a), positive(b), layer(x)
    first = thompson(z, y)
    for _ in range(40):
        before = thompson(z, y)
        z, y = layer.step(z, x), layer.step(y, x)
        assert thompson(z, y) <= layer.contraction * before + 1e-14
    assert first > 3 and thompson(z, y) < 1e-12
    np.testing.assert_allclose(solution, z, rtol=1e-10)


def test_with_signs_there_are_three_solutions_and_the_constructor_refuses():
    step = lambda z: jnp.tanh(SIGNED @ z) + 1.2
    found = []
    for start in ([1.2, 1.2], [2.2, 0.2], [0.2, 2.2]):
        z = jnp.asarray(start)
        for _ in range(200):
            z = step(z)
        assert jnp.abs(step(z) - z).max() < 1e-12
        found.append(z)
    np.testing.assert_allclose(found, [[1.2, 1.2], [2.199, 0.201], [0.201, 2.199]], atol=1e-3)
    with pytest.raises(ConfigError, match="without negative entries, got .* the least entry -2: .* several equilibria"):
        SubhomogeneousEquilibrium(1, 2, weight=SIGNED, key=jax.random.key(0))
    with pytest.raises(ConfigError, match="a shift of at least 1.2, the published bound, got 1.19"):
        SubhomogeneousEquilibrium(1, 2, shift=1.19, key=jax.random.key(0))
    with pytest.raises(ConfigError, match=r"needs a weight \(3, 3\) without negative entries, got shape \(2, 2\)"):
        SubhomogeneousEquilibrium(1, 3, weight=jnp.ones((2, 2)), key=jax.random.key(0))


def test_the_published_bound_is_where_the_rate_on_all_numbers_reaches_one():
    t = jnp.linspace(-20, 20, 400_001)
    rate = lambda s: jnp.max(jnp.abs(t) / jnp.cosh(t) ** 2 / (jnp.tanh(t) + s))
    assert rate(1.2) < 1 < rate(1.19)


def test_gradients_are_those_of_finite_differences_and_points_are_independent():
    layer = SubhomogeneousEquilibrium(3, 5, normalized=True, rtol=1e-13, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 4))
    loss = jax.jit(lambda layer: jnp.sum(jnp.sin(layer(x))))
    slopes = jax.jit(jax.grad(loss))(layer)
    for name in ("recurrent", "inward"):
        along = jax.random.normal(jax.random.key(2), getattr(layer, name).shape)
        moved = lambda e: loss(eqx.tree_at(lambda l: getattr(l, name), layer, getattr(layer, name) + e * along))  # noqa: B023
        np.testing.assert_allclose(jnp.vdot(getattr(slopes, name), along), (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-6)
    np.testing.assert_allclose(layer(x)[:, 2], layer(x[:, 2]), rtol=1e-10)
    assert layer(x.astype("float32")).dtype == jnp.float32


def test_weights_may_be_lists_and_features_must_fit():
    make = lambda weight: SubhomogeneousEquilibrium(3, 2, weight=weight, rtol=1e-12, key=jax.random.key(0))
    assert make([[1, 0], [0, 1]]).recurrent.dtype == jnp.float64
    with pytest.raises(ModelInputError, match=r"in_features=3 and got an input of shape \(4, 5\)"):
        make(jnp.eye(2))(jnp.ones((4, 5)))
