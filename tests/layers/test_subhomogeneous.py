import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import SubhomogeneousEquilibrium

SIGNED = jnp.asarray([[2.0, -2.0], [-2.0, 2.0]])


def thompson(z, y):
    return abs(np.log(z) - np.log(y)).max()


def with_norm(size):
    weight = np.random.default_rng(0).uniform(size=(20, 20))
    return jnp.asarray(weight * size / np.linalg.norm(weight, 2))


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("size", [0.33, 100.0])
def test_distances_contract_at_the_rate_and_there_is_one_solution(size, normalized, compiled):
    """Acceptance 8."""
    layer = SubhomogeneousEquilibrium(3, 20, weight=with_norm(size), normalized=normalized, rtol=1e-12, key=jax.random.key(1))
    x = jnp.asarray(np.random.default_rng(2).normal(size=3))
    np.testing.assert_allclose(layer.contraction, 0.247 * (1 + normalized), atol=5e-4)
    step = jax.jit(lambda z, y: (layer.step(z, x), layer.step(y, x)))
    (z, y), solution = np.exp(3 * np.random.default_rng(3).normal(size=(2, 20))), compiled(layer, x)
    first = thompson(z, y)
    for _ in range(40):
        before = thompson(z, y)
        z, y = step(z, y)
        assert thompson(z, y) <= layer.contraction * before + 1e-14
    assert first > 3 and thompson(z, y) < 1e-12
    np.testing.assert_allclose(solution, z, rtol=1e-10)


def test_with_signs_there_are_three_solutions_and_the_constructor_refuses():
    step = lambda z: np.tanh(np.asarray(SIGNED) @ z) + 1.2
    found = []
    for start in ([1.2, 1.2], [2.2, 0.2], [0.2, 2.2]):
        z = np.asarray(start)
        for _ in range(200):
            z = step(z)
        assert abs(step(z) - z).max() < 1e-12
        found.append(z)
    np.testing.assert_allclose(found, [[1.2, 1.2], [2.199, 0.201], [0.201, 2.199]], atol=1e-3)
    with pytest.raises(ConfigError, match="without negative entries, got .* the least entry -2: .* several equilibria"):
        SubhomogeneousEquilibrium(1, 2, weight=SIGNED, key=jax.random.key(0))
    with pytest.raises(ConfigError, match="a shift of at least 1.2, the published bound, got 1.19"):
        SubhomogeneousEquilibrium(1, 2, shift=1.19, key=jax.random.key(0))
    with pytest.raises(ConfigError, match=r"needs a weight \(3, 3\) without negative entries, got shape \(2, 2\)"):
        SubhomogeneousEquilibrium(1, 3, weight=jnp.ones((2, 2)), key=jax.random.key(0))


def test_the_published_bound_is_where_the_rate_on_all_numbers_reaches_one():
    t = np.linspace(-20, 20, 400_001)
    rate = lambda s: np.max(abs(t) / np.cosh(t) ** 2 / (np.tanh(t) + s))
    assert rate(1.2) < 1 < rate(1.19)


def test_gradients_are_those_of_finite_differences_and_points_are_independent(compiled):
    layer = SubhomogeneousEquilibrium(3, 5, normalized=True, rtol=1e-13, key=jax.random.key(0))
    random = np.random.default_rng(1)
    x = jnp.asarray(random.normal(size=(3, 4)))
    loss = jax.jit(lambda layer: jnp.sum(jnp.sin(layer(x))))
    slopes = compiled(jax.grad(loss), layer)
    for name in ("recurrent", "inward"):
        weight, along = np.asarray(getattr(layer, name)), random.normal(size=getattr(layer, name).shape)
        moved = lambda e: float(loss(eqx.tree_at(lambda l: getattr(l, name), layer, jnp.asarray(weight + e * along))))  # noqa: B023
        np.testing.assert_allclose(np.vdot(getattr(slopes, name), along), (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-6)
    every, one = compiled(lambda x: (layer(x), layer(x[:, 2])), x)
    np.testing.assert_allclose(every[:, 2], one, rtol=1e-10)
    assert eqx.filter_eval_shape(layer, jax.ShapeDtypeStruct(x.shape, jnp.float32)).dtype == jnp.float32


def test_weights_may_be_lists_and_features_must_fit():
    make = lambda weight: SubhomogeneousEquilibrium(3, 2, weight=weight, rtol=1e-12, key=jax.random.key(0))
    assert make([[1, 0], [0, 1]]).recurrent.dtype == jnp.float64
    with pytest.raises(ModelInputError, match=r"in_features=3 and got an input of shape \(4, 5\)"):
        make(jnp.eye(2))(jnp.ones((4, 5)))
