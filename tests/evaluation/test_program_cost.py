"""Counted operations and exchanges against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, PartitionSpec as P

from neuralop_jax.data import Sample
from neuralop_jax.evaluation import Collective, program_cost
from neuralop_jax.models import FNO
from neuralop_jax.training import TrainState, make_step, supervised

A = jnp.ones((8, 8))


@pytest.mark.parametrize(
    ("function", "arguments", "flops"),
    [
        (lambda a, b: a @ b, (jnp.ones((3, 5)), jnp.ones((5, 7))), 2 * 3 * 5 * 7),
        (lambda a, b: a @ b, (jnp.ones((3, 5), complex), jnp.ones((5, 7), complex)), 8 * 3 * 5 * 7),
        (lambda a: jnp.fft.fft(a), (jnp.ones((4, 16), complex),), 5 * 4 * 16 * 4),
        (lambda a: jnp.fft.rfft2(a), (jnp.ones((3, 8, 4)),), 2.5 * 3 * 32 * 5),
        (lambda a: jnp.exp(a) + a, (jnp.ones((6, 7)),), 2 * 42),
        (lambda a: a.T.reshape(-1)[3:9], (A,), 0),
        (lambda a: jnp.sum(a), (A,), 64),
        (lambda a: jax.lax.scan(lambda b, _: (a @ b, None), a, length=10)[0], (A,), 10 * 2 * 8**3),
        (lambda a: jax.lax.map(lambda row: a @ row, A), (A,), 8 * 2 * 8 * 8),
        (lambda a: jax.checkpoint(lambda b: b @ b)(a), (A,), 2 * 8**3),
        (lambda a: jax.lax.cond(a[0, 0] > 0, lambda: a @ a, lambda: a), (A,), 2 * 8**3 + 1),
        (
            lambda u, w: jax.lax.conv_general_dilated(u, w, (1,), "VALID"),
            (jnp.ones((2, 3, 10)), jnp.ones((4, 3, 5))),
            2 * 2 * 4 * 6 * 3 * 5,
        ),
    ],
)
def test_operations(function, arguments, flops):
    assert program_cost(function, *arguments).flops == flops


def test_a_loop_of_unknown_length_is_one_pass():
    cost = program_cost(lambda a: jax.lax.while_loop(lambda b: b[0, 0] < 9, lambda b: a @ b, a), A)
    assert cost.open_loops == 1
    assert cost.flops == 2 * 8**3 + 1


def test_products_agree_with_the_compiler_where_that_counts_rightly():
    function = lambda a, b: (a @ b) @ b
    arguments = jnp.ones((16, 32)), jnp.ones((32, 32))
    found = jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]
    assert program_cost(function, *arguments).flops == pytest.approx(found, rel=1e-3)


def test_a_training_step_costs_the_same_in_portions():
    """The gradient of 8 samples at once, or of 4 times 2: only the sum of the four gradients comes in addition."""
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
    optimizer = optax.sgd(0.1)
    state, batch = TrainState.create(model, optimizer), Sample({"u": jnp.ones((8, 1, 16))}, jnp.ones((8, 1, 16)))
    loss = supervised(lambda v, target: jnp.mean((v - target) ** 2))
    costs = [program_cost(make_step(loss, optimizer, micro_batch=size), state, batch, jax.random.key(0)).flops for size in (0, 2)]
    assert costs[0] < costs[1] < 1.15 * costs[0]


MESH = AbstractMesh((4096,), ("data",))


@pytest.mark.parametrize(
    ("exchange", "kind", "message"),
    [
        (lambda x: jax.lax.psum(x, "data"), "all_reduce", 64.0),
        (lambda x: jax.lax.all_gather(x, "data"), "all_gather", 4096 * 64.0),
        (lambda x: jax.lax.ppermute(x, "data", [(0, 1)]), "permute", 64.0),
        (lambda x: jax.lax.all_to_all(jnp.broadcast_to(x[:1], (4096, 4)), "data", 0, 0), "all_to_all", 4096 * 4 * 4.0),
    ],
)
def test_exchanges_of_a_mesh_that_does_not_exist(exchange, kind, message):
    """Each of 4,096 devices has 16 float32 numbers, and makes the exchange three times."""

    def local(x):
        return jax.lax.scan(lambda total, _: (total + jnp.sum(exchange(x)), None), jnp.zeros((), x.dtype), length=3)[0][None]

    program = jax.shard_map(local, mesh=MESH, in_specs=P("data"), out_specs=P("data"), check_vma=False)
    cost = program_cost(program, jax.ShapeDtypeStruct((4096 * 16,), jnp.float32))
    assert dict(cost.collectives) == {("data",): (Collective(kind, message, 3.0),)}


@pytest.mark.parametrize(
    ("kind", "sent", "rounds"),
    [("all_reduce", 1.5, 4), ("all_gather", 0.75, 2), ("reduce_scatter", 0.75, 2), ("all_to_all", 0.75, 3), ("permute", 1.0, 1)],
)
def test_what_four_devices_send(kind, sent, rounds):
    exchange = Collective(kind, 100.0, calls=2.0)
    assert (exchange.sent(4), exchange.rounds(4)) == (200 * sent, 2 * rounds)
    assert (exchange.sent(1), exchange.rounds(1)) == (0, 0)
    np.testing.assert_allclose(exchange.sent(4096), 200 * (sent / 0.75 * 4095 / 4096 if kind != "permute" else 1.0))
