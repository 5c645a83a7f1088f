"""Vector fields: what they read, that every parameter matters, and what flows can and cannot do."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import Forcing, NeuralODE, OperatorField, VectorField, augmented, control
from neuralop_jax.models import FNO

ENDS = jnp.asarray([0.0, 1.0])


@pytest.mark.parametrize("time", ["none", "append", "modulate"])
def test_every_parameter_is_used_and_points_do_not_mix(getkey, time):
    field = VectorField(features=2, width=4, time=time, num_parameters=1, num_controls=2, key=getkey())
    forcing = Forcing(jnp.ones(1), lambda t: jnp.stack([t, t**2]))
    z = jax.random.normal(getkey(), (2, 5))

    @eqx.filter_jit
    def evaluate(field):
        gradient = eqx.filter_grad(lambda field: jnp.sum(field(0.3, z, forcing) ** 2))(field)
        later = field(0.6, z, Forcing(jnp.ones(1), lambda t: jnp.asarray([0.3, 0.09])))
        rough = field(0.3, z.astype(jnp.float32), forcing)
        return gradient, field(0.3, z, forcing), field(0.3, z[:, 3], forcing), later, rough

    gradient, values, fourth, later, rough = jax.tree.map(np.asarray, eqx.filter(evaluate(field), eqx.is_array))
    assert all(abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
    assert np.allclose(values[:, 3], fourth)
    assert rough.dtype == np.float32
    assert (abs(values - later).max() > 1e-6) == (time != "none")


def test_a_control_drives_the_state():
    layer = NeuralODE(lambda t, z, forcing: forcing.control(t), rtol=1e-8, atol=1e-8, only_end=True)
    end = eqx.filter_jit(layer)(jnp.zeros(1), ENDS, Forcing(control=lambda t: jnp.cos(t)[None])).values
    assert abs(end[0] - np.sin(1)) < 1e-7


def driven(ts, path, **options):
    solve = NeuralODE(lambda t, z, forcing: forcing.control(t)[:1].astype(z.dtype), only_end=True, **options)
    return solve(jnp.zeros(1, ts.dtype), ts, Forcing(control=path.evaluate))


straight = jax.jit(lambda times, values: control(times, values, kind="linear", throw=False))


def paths():
    knots = jnp.asarray(np.linspace(0.0, 1.0, 5))
    values = jnp.asarray(np.linspace(0.0, 1.0, 5)[:, None])
    return straight(knots, jnp.cos(values)), diffrax.LinearInterpolation(knots, values)


def test_a_path_that_ends_before_the_last_time_drives_nothing():
    second_order = {"solver": diffrax.ReversibleHeun(), "step": 0.25}
    solve = jax.jit(jax.vmap(lambda ts, path: driven(ts, path, **second_order), in_axes=(0, None)))
    times = jnp.asarray([[0.0, 1.0], [0.0, 1.5], [-0.5, 1.0], [1.0, 0.0]])
    for path in paths():
        with pytest.raises(ModelInputError, match="covers 0 to 1, the times go from 0 to 1.5. Shorten"):
            driven(times[1], path, **second_order)
        found = jax.tree.map(np.asarray, solve(times, path))
        assert found.result.tolist() == [0, 2, 2, 0] and np.isnan(found.values[1:3]).all()
        assert np.allclose(found.values[::3, 0], [0.5, -0.5], atol=1e-7)  # of the time


def test_an_implicit_solver_reaches_the_end_of_its_control():
    path = straight(jnp.asarray([0.0, 1.1]), jnp.ones((2, 1)))
    found = jax.jit(lambda ts: driven(ts, path, solver="kvaerno5", rtol=1e-5))(jnp.asarray([0.0, 1.1], jnp.float32))
    assert found.successful and abs(found.values[0] - 0.605) < 1e-4


def test_an_augmented_flow_learns_what_a_flow_on_the_line_cannot(getkey):
    x = jnp.linspace(-1.0, 1.0, 16)[None]

    def error(field, **options):
        layer = NeuralODE(field, **options)
        z = layer(augmented(x, field.features - 1), ENDS).values
        return jnp.mean((z[:1] + x) ** 2)

    coarse = {"solver": "euler", "step": 1 / 32, "max_steps": 32, "only_end": True}
    optimizer = optax.adam(0.03)

    def trained(dimensions):
        field = VectorField(features=1 + dimensions, width=8, time="append", key=getkey())

        @eqx.filter_jit
        def train(field):
            arrays, static = eqx.partition(field, eqx.is_array)

            def step(carry, _):
                arrays, state = carry
                value, gradient = jax.value_and_grad(lambda a: error(eqx.combine(a, static), **coarse))(arrays)
                updates, state = optimizer.update(gradient, state)
                return (optax.apply_updates(arrays, updates), state), value

            (arrays, _), _ = jax.lax.scan(step, (arrays, optimizer.init(arrays)), length=400)
            return error(eqx.combine(arrays, static), only_end=True)  # with error control, which no coarse step escapes

        return float(train(field))

    assert trained(1) < 1e-3
    assert trained(0) >= 0.32


@pytest.mark.parametrize(("time", "parameters"), [("none", 0), ("channel", 0), ("parameter", 1)])
def test_an_operator_is_a_vector_field_on_any_grid(getkey, time, parameters, compiled):
    options = {"norm": "adaptive", "num_parameters": 1} if parameters else {}
    channels = 1 + (time == "channel")
    operator = FNO(in_channels=channels, out_channels=1, width=4, n_modes=(3,), depth=1, key=getkey(), **options)
    one, many = (OperatorField(operator, time=time, batched=batched) for batched in (False, True))
    layer = NeuralODE(many, solver="euler", step=0.5, only_end=True)

    def by_hand(field, u):
        middle = u + 0.5 * field(jnp.asarray(0.0), u)
        return middle + 0.5 * field(jnp.asarray(0.5), middle)

    solve = lambda one, many, u, both: (by_hand(one, u), by_hand(many, both), layer(both, ENDS).values)
    for points in (8, 12):
        u = np.sin(np.linspace(0, 6, points))[None]
        end, joint, solved = compiled(solve, one, many, u, np.stack([u, 2 * u], axis=1))
        assert np.allclose(joint[:, 0], end) and np.allclose(joint, solved)
        assert end.shape == u.shape and abs(end - u).max() > 1e-3


def test_bad_fields_are_refused(getkey):
    with pytest.raises(ConfigError, match="Did you mean 'append'"):
        VectorField(features=1, width=2, time="appendd", key=getkey())
    with pytest.raises(ConfigError, match="at least 1"):
        VectorField(features=1, width=0, key=getkey())
    field = VectorField(features=2, width=2, num_parameters=1, key=getkey())
    with pytest.raises(ModelInputError, match="1 parameters"):
        field(0.0, jnp.ones(2))
    with pytest.raises(ModelInputError, match="2 features"):
        field(0.0, jnp.ones(3), jnp.ones(1))
    with pytest.raises(ConfigError, match="in_channels=1"):
        OperatorField(FNO(in_channels=2, out_channels=1, width=4, n_modes=(2,), key=getkey()))
    with pytest.raises(ConfigError, match="jax.vmap"):
        OperatorField(lambda u: u, batched=True)
    with pytest.raises(ConfigError, match="at least 0"):
        augmented(jnp.ones(1), -1)
