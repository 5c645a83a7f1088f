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


def test_gradients_agree_between_adjoints_and_with_differences(getkey, compiled):
    network, start = Network(MLP((2, 4, 2), key=getkey())), jnp.asarray([1.0, -0.5])

    def loss(network, start, **options):
        return jnp.sum(NeuralODE(network, only_end=True, **options)(start, TIMES).values ** 2)

    def gradient(**options):
        return compiled(lambda both: ravel_pytree(eqx.filter_grad(lambda x: loss(*x, **options))(both))[0], (network, start))

    steps = {"step": 0.125, "max_steps": 8}
    exact = gradient(adjoint="checkpoint", **steps)
    assert np.allclose(exact, gradient(adjoint="direct", **steps), rtol=1e-9, atol=1e-12)
    assert np.allclose(exact, gradient(adjoint="backsolve", rtol=1e-9, atol=1e-9), rtol=1e-3, atol=1e-4)
    flat, unravel = ravel_pytree((network, start))
    bumps = np.concatenate([1e-5 * np.eye(flat.size)[::5], -1e-5 * np.eye(flat.size)[::5]])
    above, below = np.split(compiled(jax.vmap(lambda bump: loss(*unravel(flat + bump), **steps)), jnp.asarray(bumps)), 2)
    assert abs((above - below) / 2e-5 - exact[::5]).max() < 1e-6


def test_forward_mode_is_the_derivative_of_the_closed_form(compiled):
    layer = NeuralODE(decay, adjoint="forward", rtol=1e-9, atol=1e-9, only_end=True)
    end = lambda rate: layer(jnp.ones(1), TIMES, rate).values[0]
    assert abs(compiled(lambda rate: jax.jvp(end, (rate,), (1.0,))[1], jnp.asarray(2.0)) + np.exp(-2)) < 1e-7


def test_a_field_that_captures_traced_arrays_differentiates_but_not_by_backsolve(compiled):
    def loss(rate, adjoint):
        return NeuralODE(lambda t, z, _: -rate * z, adjoint=adjoint, only_end=True)(jnp.ones(1), TIMES).values[0]

    assert abs(compiled(lambda rate: jax.grad(loss)(rate, "checkpoint"), jnp.asarray(2.0)) + np.exp(-2)) < 1e-3
    with pytest.raises(ModelInputError, match="Pass them in args"):
        jax.grad(loss)(2.0, "backsolve")


@pytest.mark.parametrize(("options", "code"), [({"max_steps": 8}, 1), ({"step": 0.02}, 2)])
def test_a_failed_sample_is_nan_with_a_code_and_the_others_do_not_notice(options, code, compiled):
    layer = NeuralODE(squared, **options)
    starts = jnp.asarray([[0.1], [50.0], [0.2]])

    def together(rate):
        solution = jax.vmap(lambda z: layer(z, TIMES, rate))(starts)
        return jnp.sum(jnp.where(solution.successful, solution.values[:, -1, 0], 0)), solution

    (_, solution), gradient = compiled(jax.value_and_grad(together, has_aux=True), jnp.asarray(1.0))
    assert solution.result.tolist() == [0, code, 0]
    assert np.isnan(solution.values[1]).all() and np.isnan(solution.times[1]).all()
    good = np.asarray(starts)[::2]
    assert np.allclose(solution.values[::2, :, 0], good / (1 - good * np.asarray(TIMES)), rtol=1e-3)
    assert np.allclose(gradient, sum((z / (1 - z)) ** 2 for z in (0.1, 0.2)), rtol=1e-3)


def test_failures_raise_on_request():
    solution = eqx.filter_jit(NeuralODE(decay, max_steps=1, only_end=True))(ONE, TIMES, jnp.asarray(50.0))
    assert np.isnan(solution.values).all() and solution.result == 1
    with pytest.raises(SolverError, match="max_steps"):
        solution.or_raise()


def test_a_field_or_start_that_is_not_finite_is_told_within_few_steps():
    solve = eqx.filter_jit(NeuralODE(decay))
    for start, rate in ((1.0, np.nan), (np.nan, 1.0), (np.inf, 1.0)):
        solution = solve(jnp.asarray([start]), TIMES, jnp.asarray(rate))
        assert solution.result == 2 and solution.num_steps < 50 and np.isnan(solution.values).all()


def test_times_out_of_order_are_refused_or_reported_per_sample(compiled):
    layer = NeuralODE(decay)
    for bad in ([0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan, 1.0]):
        with pytest.raises(ModelInputError, match="times must increase or decrease"):
            layer(ONE, jnp.asarray(bad), jnp.asarray(1.0))
    with pytest.raises(ModelInputError, match="two or more"):
        layer(ONE, ONE, jnp.asarray(1.0))
    times = jnp.asarray([[0.0, 0.5, 1.0], [0.0, 1.0, 1.0], [1.0, 0.5, 0.0]])
    solution = compiled(jax.vmap(lambda ts: layer(jnp.ones(1), ts, jnp.asarray(1.0))), times)
    assert solution.result.tolist() == [0, 9, 0] and np.isnan(solution.values[1]).all()
    assert np.allclose(solution.values[2, :, 0], np.exp(1 - np.asarray(times)[2]), rtol=1e-3)  # backwards


def test_a_steady_state_and_its_implicit_derivative():
    layer = NeuralODE(lambda t, z, a: a - z**3, steady=1e-4, rtol=1e-6, atol=1e-6, adjoint="implicit", only_end=True)
    ends = jnp.asarray([0.0, jnp.inf])
    value, slope = jax.jit(jax.value_and_grad(lambda a: layer(jnp.ones(1), ends, a).values[0]))(8.0)
    assert abs(value - 2) < 1e-4 and abs(slope - 1 / 12) < 1e-4
    short = eqx.filter_jit(layer)(ONE, jnp.asarray([0.0, 0.01]), 8.0)  # the end comes first
    assert short.result == 1 and np.isnan(short.values).all()


def test_an_event_ends_the_solve_and_what_follows_is_nan(compiled):
    import diffrax
    import optimistix as optx

    event = diffrax.Event(lambda t, y, args, **_: y[0] - 0.5, optx.Newton(1e-8, 1e-8))
    layers = [NeuralODE(decay, event=event, rtol=1e-8, atol=1e-8, only_end=only_end) for only_end in (False, True)]
    solution, end = compiled(lambda rate: [layer(jnp.ones(1), TIMES, rate) for layer in layers], jnp.asarray(1.0))
    assert solution.result == 0
    assert np.allclose(solution.values[:3, 0], np.exp(-np.asarray(TIMES)[:3])) and np.isnan(solution.values[3]).all()
    assert abs(end.times - np.log(2)) < 1e-6 and abs(end.values[0] - 0.5) < 1e-6


def test_samples_that_share_steps_are_as_accurate_as_the_stiffest_alone(compiled):
    rates = jnp.asarray(50.0 * np.eye(64)[3])
    kinds = [NeuralODE(lambda t, z, a: a[:, None] * jnp.cos(a[:, None] * t), batch_axis=axis) for axis in (None, 0)]
    solve = lambda rates: (
        *(kind(jnp.ones((64, 1)), TIMES, rates) for kind in kinds),
        kinds[0](jnp.ones((1, 1)), TIMES, rates[3:4]),
    )
    shared, joint, alone = compiled(solve, rates)
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
