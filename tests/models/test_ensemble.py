"""Members that are computed together are those that are computed apart."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.models import FNO, AbstractOperator, DeepONet, Ensemble, Normalized, modes_and_grid, refused_grid
from neuralop_jax.normalizers import GaussianNormalizer

OPTIONS = {"in_channels": 2, "out_channels": 1, "n_modes": (4,), "width": 4, "depth": 1}
KEYS = jax.random.split(jax.random.key(0), 3)


def build(key):
    return FNO(**OPTIONS, key=key)


@pytest.fixture(scope="module")
def apart():
    return [build(key) for key in KEYS]


@pytest.fixture(scope="module")
def fields():
    return jax.random.normal(jax.random.key(1), (4, 2, 12))


def test_mean_and_spread_are_those_of_the_members(apart, fields, compiled):
    ensemble = Ensemble.of(build, KEYS)
    assert eqx.tree_equal(ensemble, Ensemble.joined(apart), rtol=1e-12, atol=1e-14)
    assert eqx.tree_equal(ensemble.member(2), apart[2], rtol=1e-12, atol=1e-14)
    every = lambda members, m, u: ([member.batched(u) for member in members], m.batched(u), m(u[0]), m.each(u[0]), m.spread(u[0]))
    outputs, many, mean, each, spread = compiled(every, apart, ensemble, fields)
    np.testing.assert_allclose(many, np.mean(outputs, 0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(each, np.stack(outputs)[:, 0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(mean, np.mean(outputs, 0)[0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(spread, np.std(outputs, 0, ddof=1)[0], rtol=1e-9, atol=1e-12)


class Drawn(AbstractOperator):
    """a u, with noise in training."""

    a: jax.Array
    in_channels: int = eqx.field(static=True, default=1)
    out_channels: int = eqx.field(static=True, default=1)
    width: int = eqx.field(static=True, default=1)

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return self.a * u if key is None else self.a * u + jax.random.normal(key, u.shape)


def test_each_member_draws_for_each_sample():
    twins, u = Ensemble.joined([Drawn(jnp.asarray(2.0))] * 2), jnp.ones((1, 6))
    np.testing.assert_array_equal(twins.each(u), np.full((2, 1, 6), 2.0))
    drawn = np.asarray(twins.each(u, key=jax.random.key(3)))
    assert len(np.unique(drawn)) == 12
    np.testing.assert_allclose(twins(u, key=jax.random.key(3)), drawn.mean(0), rtol=1e-12)
    many = np.asarray(twins.batched(jnp.ones((3, 1, 6)), key=jax.random.split(jax.random.key(3), 3)))
    assert len(np.unique(many)) == 18


def test_units_modes_sensors_and_claims_are_those_of_the_members(apart, compiled):
    normalizer = lambda channels: GaussianNormalizer(jnp.ones(channels), 2 * jnp.ones(channels))
    physical = Ensemble.joined([Normalized(member, normalizer(2), normalizer(1)) for member in apart])
    u = jax.random.normal(jax.random.key(2), (2, 12))
    mean = lambda members, u: 2 * sum(member((u - 1) / 2) for member in members) / 3 + 1
    found, wanted = compiled(lambda members, m, u: (m(u), mean(members, u)), apart, physical, u)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert modes_and_grid(physical, (12,))[0] == (4,) and physical.resolution.kind == "converges" and physical.width == 12
    points = lambda key: DeepONet(in_channels=1, out_channels=1, sensors=(8,), width=4, num_basis=2, key=key)
    sensors = eqx.filter_eval_shape(Ensemble.of, points, KEYS)
    assert refused_grid(sensors, (16,)) == "DeepONet reads its input at 8 fixed sensors, not on 16 points"
    with pytest.raises(ModelInputError, match="FNO expects one sample"):
        physical(u[None])


def test_what_is_no_ensemble_is_refused(apart):
    with pytest.raises(ConfigError, match="at least one member"):
        Ensemble.joined([])
    for other in ({"width": 8}, {"activation": "relu"}):
        with pytest.raises(ConfigError, match="member 1 of an Ensemble has other options than member 0"):
            Ensemble.joined([apart[0], FNO(**OPTIONS | other, key=KEYS[0])])
    with pytest.raises(ConfigError, match="needs two members, got 1"):
        Ensemble.joined(apart[:1]).spread(jnp.ones((2, 12)))
