"""Densities of flows against Gaussians, both traces, and the integral of a learned density."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import ContinuousNormalizingFlow, VectorField

MATRIX = jnp.asarray([[0.3, -1.0], [0.8, 0.2]])
LINEAR = ContinuousNormalizingFlow(lambda t, z, a: a @ z, rtol=1e-8, atol=1e-8)


def test_a_linear_field_makes_a_gaussian():
    x, density = np.asarray([0.7, -0.4]), eqx.filter_jit(LINEAR.log_density)
    found = density(jnp.asarray(x), MATRIX)
    z = scipy.linalg.expm(-np.asarray(MATRIX)) @ x
    exact = -0.5 * z @ z - np.log(2 * np.pi) - np.trace(MATRIX)
    assert found.successful and abs(found.log_density - exact) < 1e-6 and np.allclose(found.value, z)
    drawn = eqx.filter_jit(lambda key: LINEAR.sample(MATRIX, features=2, key=key))(jax.random.key(0))
    assert abs(drawn.log_density - density(drawn.value, MATRIX).log_density) < 1e-6


def test_random_directions_give_the_trace_in_the_mean():
    field = lambda t, z, a: jnp.tanh(a @ z)
    exact, random = (ContinuousNormalizingFlow(field, trace=trace, step=0.25, max_steps=4) for trace in ("exact", "hutchinson"))
    x, keys = jnp.asarray([0.7, -0.4]), jax.random.split(jax.random.key(1), 10_000)
    draws = eqx.filter_jit(jax.vmap(lambda key: random.log_density(x, MATRIX, key=key).log_density))(keys)
    error = np.mean(draws) - eqx.filter_jit(exact.log_density)(x, MATRIX).log_density
    assert abs(error) < 3 * np.std(draws) / 100 and np.std(draws) > 0.01


def test_a_density_integrates_to_one_and_has_gradients(getkey):
    steps = {"solver": diffrax.ReversibleHeun(), "step": 1 / 32, "max_steps": 32}
    flow = ContinuousNormalizingFlow(VectorField(features=2, width=4, time="append", key=getkey()), **steps)
    axis = np.linspace(-6.0, 6.0, 49)
    points = jnp.asarray(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))

    @eqx.filter_jit
    @lambda f: eqx.filter_value_and_grad(f, has_aux=True)
    def total(flow):
        found = jax.vmap(flow.log_density)(points)
        return jnp.sum(jnp.exp(found.log_density)) * (axis[1] - axis[0]) ** 2, found.successful.all()

    (mass, fine), gradient = total(flow)
    assert fine and abs(mass - 1) < 1e-3
    assert all(np.abs(leaf).max() < 1e-2 for leaf in jax.tree.leaves(gradient))  # mass does not depend on the parameters


def test_a_failed_solve_has_no_density():
    flow = ContinuousNormalizingFlow(lambda t, z, a: z**2, max_steps=16)
    found = eqx.filter_jit(flow.log_density)(jnp.full(2, -5.0))
    assert not found.successful and jnp.isnan(found.log_density) and jnp.isnan(found.value).all()


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'exact'"):
        ContinuousNormalizingFlow(lambda t, z, a: z, trace="exct")
    with pytest.raises(ConfigError, match="time 0 to time 1"):
        ContinuousNormalizingFlow(lambda t, z, a: z, steady=0.1)
    with pytest.raises(ModelInputError, match="Give key"):
        ContinuousNormalizingFlow(lambda t, z, a: z, trace="hutchinson").log_density(jnp.ones(2))
    for x, message in (
        (jnp.ones((3, 2)), r"one point, \(features,\), got shape \(3, 2\)"),
        (jnp.ones(2, int), "point of a flow must be real"),
    ):
        with pytest.raises(ModelInputError, match=message):
            ContinuousNormalizingFlow(lambda t, z, a: z, trace="hutchinson").log_density(x, key=jax.random.key(0))
