"""Members that are computed together are those that are computed apart."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.models import FNO, DeepONet, Ensemble, Normalized, modes_and_grid, refused_grid
from neuralop_jax.normalizers import GaussianNormalizer

OPTIONS = {"in_channels": 2, "out_channels": 1, "n_modes": (4, 4), "width": 4, "depth": 1}
KEYS = jax.random.split(jax.random.key(0), 3)


def build(key):
    return FNO(**OPTIONS, key=key)


@pytest.fixture(scope="module")
def apart():
    return [build(key) for key in KEYS]


@pytest.fixture(scope="module")
def fields():
    return jax.random.normal(jax.random.key(1), (4, 2, 8, 6))


def test_mean_and_spread_are_those_of_the_members(apart, fields, compiled):
    outputs = np.stack([compiled(lambda m, u: m.batched(u), member, fields) for member in apart])
    for ensemble in (Ensemble.of(build, KEYS), Ensemble.joined(apart)):
        np.testing.assert_allclose(compiled(lambda m, u: m.batched(u), ensemble, fields), outputs.mean(0), rtol=1e-10, atol=1e-12)
        mean, each, spread = compiled(lambda m, u: (m(u), m.each(u), m.spread(u)), ensemble, fields[0])
        np.testing.assert_allclose(each, outputs[:, 0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(mean, outputs[:, 0].mean(0), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(spread, outputs[:, 0].std(0, ddof=1), rtol=1e-9, atol=1e-12)
        assert eqx.tree_equal(ensemble.member(2), apart[2], rtol=1e-12, atol=1e-14)


def test_each_member_draws_from_its_own_key():
    options = {"factorization": "tucker", "rank": 1.0, "tensor_dropout": 0.5}
    member = FNO(**OPTIONS | options, key=KEYS[0])
    twins, u = Ensemble.joined([member, member]), jnp.ones((2, 8, 6))
    assert jnp.max(jnp.abs(twins.each(u)[0] - twins.each(u)[1])) < 1e-12
    drawn = twins.each(u, key=jax.random.key(3))
    assert jnp.max(jnp.abs(drawn[0] - drawn[1])) > 1e-4


def test_units_modes_sensors_and_claims_are_those_of_the_members(apart):
    normalizer = lambda channels: GaussianNormalizer(jnp.ones(channels), 2 * jnp.ones(channels))
    physical = Ensemble.joined([Normalized(member, normalizer(2), normalizer(1)) for member in apart])
    u = jax.random.normal(jax.random.key(2), (2, 8, 6))
    wanted = 2 * np.mean([member((u - 1) / 2) for member in apart], axis=0) + 1
    np.testing.assert_allclose(physical(u), wanted, rtol=1e-10)
    assert modes_and_grid(physical, (8, 6))[0] == (4, 4) and physical.resolution.kind == "converges" and physical.width == 12
    sensors = Ensemble.of(lambda key: DeepONet(in_channels=1, out_channels=1, sensors=(8,), width=4, num_basis=2, key=key), KEYS)
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
        Ensemble.joined(apart[:1]).spread(jnp.ones((2, 8, 6)))
