import jax
import jax.numpy as jnp
import pytest

from neuralop_jax.layers import NeuralODE

N = 20_000


def field(t, z, rate):
    return jnp.tanh(rate * jnp.roll(z, 1)) - z


def in_fields(loss):
    """Bytes that the compiled gradient needs beside its arguments, in states of N numbers."""
    rate, z0 = jnp.asarray(0.3), jnp.ones(N)
    return jax.jit(jax.grad(loss)).lower(rate, z0).compile().memory_analysis().temp_size_in_bytes / z0.nbytes


def solved(adjoint, steps):
    layer = NeuralODE(field, solver="heun", step=1.0, adjoint=adjoint, max_steps=steps + 1, only_end=True)
    return in_fields(lambda rate, z0: jnp.sum(layer(z0, jnp.asarray([0.0, float(steps)]), rate).values ** 2))


def unrolled(steps):
    def step(z, _, rate):
        k = field(0.0, z, rate)
        return z + (k + field(0.0, z + k, rate)) / 2, None

    scan = lambda rate, z0: jax.lax.scan(lambda z, x: step(z, x, rate), z0, length=steps)[0]
    return in_fields(lambda rate, z0: jnp.sum(scan(rate, z0) ** 2))


def test_memory_of_the_gradient_grows_as_the_adjoint_says():
    """Unrolled: with the number of steps; checkpoints: with its root; backsolve: not at all. Never a Jacobian."""
    checkpoint, backsolve = ([solved(adjoint, n) for n in (16, 256)] for adjoint in ("checkpoint", "backsolve"))
    everything = unrolled(256)
    assert everything > 256
    assert checkpoint[1] < 4 * checkpoint[0] and checkpoint[1] < everything / 5
    assert backsolve[1] == pytest.approx(backsolve[0], rel=0.01) and backsolve[1] < 20
