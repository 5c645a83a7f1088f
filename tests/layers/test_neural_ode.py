"""The layer against closed forms: orders, gradients by all adjoints, cost, events, and batches in which a sample fails."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from neuralop_jax.errors import ConfigError, ModelInputError, SolverError
from neuralop_jax.layers import (
    EXPLICIT_SOLVERS,
    IMPLICIT_SOLVERS,
    MLP,
    ContinuousNormalizingFlow,
    NeuralODE,
    NeuralSDE,
    OperatorField,
)


def decay(t, z, rate):
    return -rate * z


def squared(t, z, rate):
    """Blows up at time 1 / (rate z0)."""
    return rate * z**2


class Network(eqx.Module):
    mlp: MLP

    def __call__(self, t, z, args):
        return self.mlp(z)


class Counting(eqx.Module):
    """A field that oscillates, and says so at each evaluation."""

    calls: list = eqx.field(static=True)

    def __call__(self, t, z, frequency):
        jax.debug.callback(lambda: self.calls.append(None))
        return jnp.sin(frequency * t**2) - z

    def __hash__(self):
        return id(self)


TIMES, ONE = jnp.asarray(np.linspace(0.0, 1.0, 4)), jnp.asarray([1.0])
THREE_DECAYS = eqx.filter_jit(jax.vmap(NeuralODE(decay)))


@pytest.mark.parametrize(
    ("solver", "order"),
    [("euler", 1), ("heun", 2), ("bosh3", 3), ("tsit5", 5), ("implicit_euler", 1), ("kvaerno3", 3), ("kvaerno5", 5)],
)
def test_constant_steps_converge_with_the_order_of_the_solver(solver, order):
    layer = NeuralODE(decay, solver=solver, step=0.1, rtol=1e-12, atol=1e-12, only_end=True)
    solve = eqx.filter_jit(lambda rate: layer(jnp.ones(1), jnp.stack([0.0, 1 / rate]), rate))
    errors = [abs(float(solve(jnp.asarray(rate)).values[0]) - np.exp(-1)) for rate in (0.5, 0.25)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.2


@pytest.mark.parametrize("solver", sorted((*EXPLICIT_SOLVERS, *IMPLICIT_SOLVERS)))
def test_reported_evaluations_are_those_that_a_counter_saw(solver):
    calls = []
    layer = NeuralODE(Counting(calls), solver=solver, step=0.05 if solver == "euler" else None, only_end=True)
    solve = eqx.filter_jit(lambda frequency: layer(jnp.ones(1), TIMES, frequency))
    for frequency in (0.0, 30.0):  # without and with rejected steps
        calls.clear()
        solution = jax.block_until_ready(solve(jnp.asarray(frequency)))
        jax.effects_barrier()
        assert solution.num_evaluations == len(calls) > solution.num_steps - 1
        assert (solution.num_products > 0) == (solver in IMPLICIT_SOLVERS)


def test_rejected_first_steps_of_a_controller_of_ones_own_are_counted():
    import diffrax

    calls = []
    layer = NeuralODE(Counting(calls), controller=diffrax.PIDController(1e-6, 1e-8), only_end=True)
    solution = jax.block_until_ready(eqx.filter_jit(layer)(jnp.ones(1), 0.1 * TIMES, jnp.asarray(1e4)))
    jax.effects_barrier()
    assert solution.num_evaluations == len(calls) > 6 * solution.num_steps + 1


def test_gradients_agree_between_adjoints_and_with_differences(getkey):
    network, start = Network(MLP((2, 4, 2), key=getkey())), jnp.asarray([1.0, -0.5])

    def loss(network, start, **options):
        return jnp.sum(NeuralODE(network, only_end=True, **options)(start, TIMES).values ** 2)

    flat, unravel = ravel_pytree((network, start))
    both = lambda **options: jax.jit(jax.value_and_grad(lambda flat: loss(*unravel(flat), **options)))
    steps = {"solver": "euler", "step": 0.125, "max_steps": 8}
    checkpoint, backsolve = both(adjoint="checkpoint", **steps), both(adjoint="backsolve", rtol=1e-9, atol=1e-9)
    central = lambda program, size: [
        (program(flat + bump)[0] - program(flat - bump)[0]) / (2 * size) for bump in size * np.eye(flat.size)
    ]
    exact = np.asarray(checkpoint(flat)[1])
    assert np.allclose(exact, both(adjoint="direct", **steps)(flat)[1], rtol=1e-9, atol=1e-12)
    assert abs(central(checkpoint, 1e-5) - exact).max() < 1e-6
    assert np.allclose(central(backsolve, 1e-3), backsolve(flat)[1], rtol=1e-3, atol=1e-4)


def test_forward_mode_is_the_derivative_of_the_closed_form(compiled):
    layer = NeuralODE(decay, adjoint="forward", rtol=1e-9, atol=1e-9, only_end=True)
    end = lambda rate: layer(jnp.ones(1), TIMES, rate).values[0]
    assert abs(compiled(lambda rate: jax.jvp(end, (rate,), (1.0,))[1], jnp.asarray(2.0)) + np.exp(-2)) < 1e-7


def test_a_field_that_captures_traced_arrays_differentiates_but_not_by_backsolve(compiled):
    def loss(rate, adjoint):
        layer = NeuralODE(lambda t, z, _: -rate * z, solver="euler", step=1 / 2048, adjoint=adjoint, only_end=True)
        return layer(jnp.ones(1), TIMES).values[0]

    assert abs(compiled(lambda rate: jax.grad(loss)(rate, "checkpoint"), jnp.asarray(2.0)) + np.exp(-2)) < 1e-3
    with pytest.raises(ModelInputError, match="Pass them in args"):
        jax.grad(loss)(2.0, "backsolve")


@pytest.mark.parametrize(
    ("options", "code"), [({"max_steps": 8, "only_end": True}, 1), ({"solver": "euler", "step": 1 / 4000}, 2)]
)
def test_a_failed_sample_is_nan_with_a_code_and_the_others_do_not_notice(options, code, compiled):
    layer = NeuralODE(squared, **options)
    starts = jnp.asarray([[0.1], [50.0], [0.2]])

    def together(rate):
        solution = jax.vmap(lambda z: layer(z, TIMES, rate))(starts)
        ends = solution.values if layer.only_end else solution.values[:, -1]
        return jnp.sum(jnp.where(solution.successful, ends[:, 0], 0)), solution

    (_, solution), gradient = compiled(jax.value_and_grad(together, has_aux=True), jnp.asarray(1.0))
    assert solution.result.tolist() == [0, code, 0]
    assert np.isnan(solution.values[1]).all() and np.isnan(solution.times[1]).all()
    good = np.asarray(starts)[::2]
    exact = good / (1 - good * np.asarray(TIMES[-1:] if layer.only_end else TIMES))
    assert np.allclose(solution.values[::2].reshape(exact.shape), exact, rtol=1e-3)
    assert np.allclose(gradient, sum((z / (1 - z)) ** 2 for z in (0.1, 0.2)), rtol=1e-3)
    with pytest.raises(SolverError, match={1: "max_steps", 2: "NaN or infinity"}[code]):
        jax.tree.map(lambda leaf: jnp.asarray(leaf[1]), solution).or_raise()


def test_a_field_or_start_that_is_not_finite_is_told_within_few_steps():
    starts, rates = jnp.asarray([[1.0], [np.nan], [np.inf]]), jnp.asarray([np.nan, 1.0, 1.0])
    solution = THREE_DECAYS(starts, jnp.stack([TIMES] * 3), rates)
    assert (solution.result == 2).all() and (solution.num_steps < 50).all() and np.isnan(solution.values).all()


def test_times_out_of_order_are_refused_or_reported_per_sample():
    layer = NeuralODE(decay)
    for bad in ([0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan, 1.0]):
        with pytest.raises(ModelInputError, match="times must increase or decrease"):
            layer(ONE, jnp.asarray(bad), jnp.asarray(1.0))
    with pytest.raises(ModelInputError, match="two or more"):
        layer(ONE, ONE, jnp.asarray(1.0))
    times = jnp.asarray([[0.0, 0.2, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0], [1.0, 0.5, 0.2, 0.0]])
    solution = THREE_DECAYS(jnp.ones((3, 1)), times, jnp.ones(3))
    assert solution.result.tolist() == [0, 9, 0] and np.isnan(solution.values[1]).all()
    assert np.allclose(solution.values[2, :, 0], np.exp(1 - np.asarray(times)[2]), rtol=1e-3)  # backwards


def test_a_steady_state_and_its_implicit_derivative():
    layer = NeuralODE(lambda t, z, a: a - z**3, steady=1e-4, rtol=1e-6, atol=1e-6, adjoint="implicit", only_end=True)
    ends = jnp.asarray([0.0, jnp.inf])

    @jax.jit
    @lambda f: jax.value_and_grad(f, has_aux=True)
    def solve(a, ends):
        solution = layer(jnp.ones(1), ends, a)
        return solution.values[0], solution.result

    (value, result), slope = solve(8.0, ends)
    assert result == 0 and abs(value - 2) < 1e-4 and abs(slope - 1 / 12) < 1e-4
    (value, result), _ = solve(8.0, jnp.asarray([0.0, 0.01]))  # the end comes first
    assert result == 1 and np.isnan(value)


def test_an_event_ends_the_solve_and_what_follows_is_nan(compiled):
    import diffrax
    import optimistix as optx

    event = diffrax.Event(lambda t, y, args, **_: y[0] - 0.5, optx.Newton(1e-8, 1e-8))
    layers = NeuralODE(decay, event=event, step=1 / 64), NeuralODE(decay, event=event, rtol=1e-8, atol=1e-8, only_end=True)
    solution, end = compiled(lambda rate: [layer(jnp.ones(1), TIMES, rate) for layer in layers], jnp.asarray(1.0))
    assert solution.result == 0
    assert np.allclose(solution.values[:3, 0], np.exp(-np.asarray(TIMES)[:3])) and np.isnan(solution.values[3]).all()
    assert abs(end.times - np.log(2)) < 1e-6 and abs(end.values[0] - 0.5) < 1e-6


def test_samples_that_share_steps_are_as_accurate_as_the_stiffest_alone():
    rates = jnp.asarray(50.0 * np.eye(64)[3])
    kinds = [NeuralODE(lambda t, z, a: a[:, None] * jnp.cos(a[:, None] * t), batch_axis=axis) for axis in (None, 0)]
    plain, largest = (eqx.filter_jit(lambda rates, kind=kind: kind(jnp.ones((64, 1)), TIMES, rates)) for kind in kinds)
    shared, joint = plain(rates), largest(rates)
    alone = plain(jnp.full(64, 50.0))  # the mean error of equals is that of one
    assert shared.num_steps < 0.8 * alone.num_steps and abs(alone.num_steps - joint.num_steps) <= 1
    exact = 1 + np.sin(50 * np.asarray(TIMES))
    assert abs(joint.values[:, 3, 0] - exact).max() < 1e-3 < abs(shared.values[:, 3, 0] - exact).max()


@pytest.mark.parametrize("solver", ["kvaerno5", "implicit_euler"])
def test_implicit_solvers_take_stiff_fields_in_few_steps(solver):
    layer = NeuralODE(lambda t, z, _: -1e4 * (z - jnp.cos(t)), solver=solver, rtol=1e-3, atol=1e-3, only_end=True)
    solution = eqx.filter_jit(layer)(jnp.asarray([1.0, 1.0]), TIMES)
    assert solution.successful and solution.num_steps < 100 and 0 < solution.num_evaluations < 1000
    assert np.allclose(solution.values, np.cos(1), atol=2e-3)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_type_follows_the_start(dtype, compiled):
    solution = compiled(NeuralODE(lambda t, z, _: -z, only_end=True), jnp.asarray(np.ones(2), dtype), TIMES)
    assert solution.values.dtype == dtype and abs(float(solution.values[0]) - np.exp(-1)) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "tsti5"}, "Did you mean 'tsit5'"),
        ({"adjoint": "backslove"}, "Did you mean 'backsolve'"),
        ({"solver": "euler"}, "needs constant steps"),
        ({"rtol": 0.0, "atol": 0.0}, "one is positive"),
        ({"step": -0.1}, "step must be positive"),
        ({"max_steps": 0}, "at least 1"),
        ({"rtol": np.inf}, "none infinite"),
        ({"step": 0.1, "steady": 0.0}, "steady must be a positive number"),
        ({"step": 0.1, "steady": np.nan}, "steady must be a positive number"),
        ({"steady": 1e-4}, "below 100 times"),
        ({"adjoint": "implicit"}, "steady state"),
        ({"adjoint": "backsolve", "steady": 0.1}, "cannot end at an event"),
        ({"step": 0.1, "batch_axis": 0}, "batch_axis"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        NeuralODE(decay, **options)


def test_starts_and_times_that_cannot_work_are_refused():
    near = 1e6 + np.asarray([0.0, 1e-3, 1.0])
    for start, times, message in (
        (jnp.ones(1, jnp.float32), jnp.asarray(near), "coincide in float32, the type of the state"),
        (jnp.ones(1), TIMES[None], r"floating vector of two or more.*\(1, 4\)"),
    ):
        with pytest.raises(ModelInputError, match=message):
            NeuralODE(decay)(start, times, jnp.asarray(1.0))
    for start, axis in ((jnp.ones(2), 1), ((jnp.ones(2), jnp.ones(3)), 0)):
        with pytest.raises(ModelInputError, match=f"batch_axis={axis} must be an axis"):
            NeuralODE(decay, batch_axis=axis)(start, TIMES, jnp.asarray(1.0))
    with pytest.raises(ModelInputError, match="moves one array, got tuple"):
        NeuralSDE(decay, decay, step=0.1)((jnp.ones(2),), TIMES, jnp.asarray(1.0), key=jax.random.key(0))
    for start in (jnp.ones(2, int), jnp.ones(2, complex)):
        with pytest.raises(ModelInputError, match="real floating"):
            NeuralODE(decay)(start, TIMES, jnp.asarray(1.0))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (lambda: NeuralODE(lambda t, z, a: -z.sum()), r"\(\)"),
        (lambda: NeuralODE(lambda t, z, a: (z,)), r"\(\(2,\),\)"),
        (lambda: NeuralODE(OperatorField(lambda u: u[:1])), r"\(1,\)"),
        (lambda: ContinuousNormalizingFlow(lambda t, z, a: 0.5 * z[:1]).log_density, r"\(1,\)"),
        (lambda: ContinuousNormalizingFlow(lambda t, z, a: z.sum(), trace="hutchinson").log_density, r"\(\)"),
        (lambda: NeuralSDE(lambda t, z, a: -z, lambda t, z, a: 0.1, step=0.1), r"\(\)"),
        (lambda: NeuralSDE(lambda t, z, a: -z[:1], lambda t, z, a: z, step=0.1), r"\(1,\)"),
    ],
)
def test_a_field_of_another_shape_is_refused(kind, found):
    layer = kind()
    inputs = (jnp.ones(2),) if not isinstance(layer, NeuralODE | NeuralSDE) else (jnp.ones(2), TIMES)
    options = {} if isinstance(layer, NeuralODE) else {"key": jax.random.key(0)}
    with pytest.raises(ModelInputError, match=rf"the shape of the state, \(2,\), got {found}\."):
        layer(*inputs, **options)
