import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import BatchNorm, Buffer, DoubleConvolution, GroupNorm, InstanceNorm
from neuralop_jax.models import count_parameters, trainable

KEY = jax.random.key(0)
U = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 5, 6)) * 2 + 1)


def shaken(norm):
    return eqx.tree_at(lambda n: (n.scale, n.shift), norm, (jnp.asarray(np.arange(1.0, 5.0)), jnp.asarray(-np.arange(4.0))))


def affine(v):
    return v * np.arange(1.0, 5.0).reshape(4, 1, 1, 1) - np.arange(4.0).reshape(4, 1, 1, 1)


def test_in_training_the_batch_decides_and_in_use_the_population(compiled):
    norm = shaken(BatchNorm(4))
    u = np.asarray(U)
    mean, variance = u.mean((1, 2, 3), keepdims=True), u.var((1, 2, 3), keepdims=True)
    population = jnp.asarray(np.full(4, 2.0)), jnp.asarray(np.full(4, 9.0))
    known = eqx.tree_at(lambda n: (n.mean.value, n.variance.value), norm, population)
    training, used, one = compiled(lambda u: (norm(u, training=True), known(u), known(u[:, 1])), U)
    np.testing.assert_allclose(training, affine((u - mean) / np.sqrt(variance + 1e-5)), atol=1e-12)
    np.testing.assert_allclose(used, affine((u - 2) / np.sqrt(9 + 1e-5)), atol=1e-12)
    np.testing.assert_allclose(one, used[:, 1], atol=1e-12)


def test_the_derivative_by_the_buffers_is_the_statistic_and_no_other_derivative_changes(compiled):
    norm = shaken(BatchNorm(4))
    loss = lambda norm, u: jnp.sum(jnp.sin(norm(u, training=True)))
    measured, by_u = compiled(jax.grad(loss, (0, 1)), norm, U)
    u, direction = np.asarray(U), np.random.default_rng(1).normal(size=U.shape)
    np.testing.assert_allclose(measured.mean.value, u.mean((1, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(measured.variance.value, np.var(u, (1, 2, 3), ddof=1), atol=1e-12)
    above, below = compiled(lambda *fields: [loss(norm, v) for v in fields], u + 1e-6 * direction, u - 1e-6 * direction)
    np.testing.assert_allclose((above - below) / 2e-6, np.vdot(by_u, direction), rtol=1e-6)


def test_buffers_are_not_trained():
    norm = BatchNorm(4)
    marks = trainable({"norm": norm, "table": Buffer(jnp.ones(3))})
    assert marks["norm"].scale and marks["norm"].shift and not marks["norm"].mean.value and not marks["table"].value
    assert count_parameters(norm) == 8


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_of_channels_of_every_sample(groups, compiled):
    norm = shaken(GroupNorm(4, groups))
    u = np.asarray(U).reshape(groups, -1, 3, 5, 6)
    wanted = (u - u.mean((1, 3, 4), keepdims=True)) / np.sqrt(u.var((1, 3, 4), keepdims=True) + 1e-5)
    together, mapped = compiled(lambda u: (norm(u, batched=True), jax.vmap(norm, 1, 1)(u)), U)
    np.testing.assert_allclose(together, affine(wanted.reshape(4, 3, 5, 6)), atol=1e-12)
    np.testing.assert_allclose(mapped, together, atol=1e-12)
    if groups == 4:
        by_group, by_instance = compiled(lambda u: (GroupNorm(4, 4)(u[:, 0]), InstanceNorm()(u[:, 0])), U)
        np.testing.assert_allclose(by_group, by_instance, atol=1e-12)


@pytest.mark.parametrize("norm", ["group", "instance", "batch"])
def test_samples_of_a_double_convolution_are_apart_in_use(norm, compiled):
    layer = DoubleConvolution(2, (4, 2, 3), norm=norm, key=KEY)
    several, one = compiled(lambda u: (layer(u), layer(u[:, 1])), U)
    assert several.shape == (3, 3, 5, 6) and np.all(several >= 0)
    np.testing.assert_allclose(several[:, 1], one, atol=1e-12)
    assert count_parameters(layer) == 9 * (4 * 2 + 2 * 3) + 2 * (2 + 3)


def test_what_a_norm_cannot_be():
    with pytest.raises(ConfigError, match="4 channels cannot be divided into 3 groups"):
        GroupNorm(4, 3)
    with pytest.raises(ConfigError, match="norm must be one of"):
        DoubleConvolution(2, (4, 2, 3), norm="layer", key=KEY)
