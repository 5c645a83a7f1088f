"""Neural controlled differential equations: closed forms, gradients, causality, repeats, streams, costs, failures."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax._result import MAX_STEPS, NONFINITE, SUCCESS
from neuralop_jax.errors import ConfigError, ModelInputError, SolverError
from neuralop_jax.layers import ACTIVATIONS, EXPLICIT_SOLVERS, ControlStream, NeuralCDE, control

RNG = np.random.default_rng(1)
TIMES = np.cumsum(RNG.uniform(0.2, 0.5, 7))
VALUES = RNG.standard_normal((7, 2))
KINDS = ("hermite", "linear", "rectilinear")

# Solves that tests have in common are compiled once, for hermite and linear controls together: those have one form.
EACH = {"readout": "all"}
CHOSEN = {"readout": "all", "steps": None, "solver": "tsit5", "rtol": 1e-4, "atol": 1e-6, "max_steps": 24}
EXACT = {"readout": "all", "steps": 8, "solver": "dopri8"}
CALLS = []


@pytest.fixture(autouse=True, scope="module")
def _counted():
    with pytest.MonkeyPatch.context() as patch:
        counted = lambda u: (jax.debug.callback(lambda: CALLS.append(1)), jnp.tanh(u))[1]
        patch.setitem(ACTIVATIONS, "counted", counted)
        yield


def cde_of(activation="counted", **options):
    small = {"in_channels": 3, "out_channels": 2, "width": 4, "hidden": (6,), "activation": activation}
    made = NeuralCDE(**small | options, key=jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array(leaf) else leaf, made)


@eqx.filter_jit
def drawn(times, values, kind="hermite", fill=None):
    return control(times, values, kind=kind, fill=fill, throw=False)


@eqx.filter_jit
def solved(cde, path):
    return cde(path, throw=False)


def solve(cde, times, values, kind, fill=None):
    """The solution, which reports as many evaluations as were made."""
    path = drawn(jnp.asarray(times), jnp.asarray(values), kind, fill)
    CALLS.clear()
    found = jax.tree.map(np.asarray, solved(cde, path))
    jax.effects_barrier()
    assert len(CALLS) == found.num_evaluations
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_field_adds_what_the_control_moves(kind, compiled):
    cde = cde_of(**EXACT)
    last = lambda m: (m.field.network.layers[-1].weight, m.field.network.layers[-1].bias)
    bias = RNG.standard_normal(12)
    cde = eqx.tree_at(last, cde, (jnp.asarray(np.zeros((12, 6))), jnp.asarray(bias)))
    solution, path = solve(cde, TIMES, VALUES, kind), np.concatenate([TIMES[:, None], VALUES], axis=1)
    states = compiled(cde.initial, jnp.asarray(path[0])) + (path - path[0]) @ np.tanh(bias).reshape(4, 3).T
    np.testing.assert_allclose(solution.state.z, states[-1], atol=1e-13)
    np.testing.assert_allclose(solution.values, compiled(cde.final, jnp.asarray(states.T)).T, atol=1e-13)


def test_fixed_steps_converge_at_the_order_of_the_solver():
    exact = solve(cde_of(**EXACT), TIMES, VALUES, "hermite").values[-1]
    for solver, order in (("euler", 1), ("heun", 2), ("bosh3", 3)):
        errors = [
            np.linalg.norm(solve(cde_of(solver=solver, steps=steps), TIMES, VALUES, "hermite").values - exact)
            for steps in (16, 32)
        ]
        assert abs(np.log2(errors[0] / errors[1]) - order) < 0.2


def test_chosen_steps_keep_the_tolerance_on_each_kind():
    for kind in KINDS:
        exact = solve(cde_of(**EXACT), TIMES, VALUES, kind).values[-1]
        found = solve(cde_of(solver="tsit5", steps=None, rtol=1e-8, atol=1e-8), TIMES, VALUES, kind)
        np.testing.assert_allclose(found.values, exact, atol=1e-7)


def test_adjoints_agree_with_each_other_and_with_central_differences(compiled):
    path = drawn(jnp.asarray(TIMES[:4]), jnp.asarray(VALUES[:4]))

    def loss_of(**options):
        moving, rest = eqx.partition(cde_of("silu", **options), eqx.is_inexact_array)
        weights, unravel = jax.flatten_util.ravel_pytree(moving)
        return lambda w: jnp.sum(eqx.combine(unravel(w), rest)(path, throw=False).values ** 2), weights

    def along(directions, **options):
        """The gradient, and central differences."""
        loss, weights = loss_of(**options)
        both = jax.jit(jax.value_and_grad(loss))
        central = [(both(weights + 1e-5 * d)[0] - both(weights - 1e-5 * d)[0]) / 2e-5 for d in directions]
        return np.asarray(both(weights)[1]), central

    weights = loss_of()[1]
    directions = jnp.asarray(RNG.standard_normal((5, *weights.shape)))
    gradient, central = along(directions)
    np.testing.assert_allclose(directions @ gradient, central, rtol=1e-7, atol=1e-8)
    direct = compiled(jax.grad(loss_of(adjoint="direct")[0]), weights)
    np.testing.assert_allclose(direct, gradient, rtol=1e-10, atol=1e-12)
    pushed = compiled(lambda w, t: jax.jvp(loss_of(adjoint="forward")[0], (w,), (t,))[1], weights, directions[0])
    np.testing.assert_allclose(pushed, gradient @ directions[0], rtol=1e-10)
    backward, central = along(directions, solver="bosh3", steps=128, adjoint="backsolve")
    np.testing.assert_allclose(directions @ backward, central, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("steps", [1, None])
@pytest.mark.parametrize("kind", ["linear", "rectilinear"])
def test_what_comes_later_changes_no_bit(kind, steps):
    values = np.where(RNG.uniform(size=VALUES.shape) < 0.3, np.nan, VALUES)
    values[[0, -1]] = VALUES[[0, -1]]
    later, times = values.copy(), TIMES.copy()
    later[4:], times[4:] = later[4:] * 3 + 1, times[4:] + 0.25
    cde = cde_of(**(EACH if steps else CHOSEN))
    one, other = solve(cde, TIMES, values, kind, "forward"), solve(cde, times, later, kind, "forward")
    assert one.result == other.result == SUCCESS
    np.testing.assert_array_equal(one.values[:4], other.values[:4])
    assert np.all(one.values[4:] != other.values[4:])


@pytest.mark.parametrize("steps", [1, None])
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_repeats_of_the_end_change_nothing(kind, steps):
    times, values = (np.pad(part, [(0, 50), (0, 0)][: part.ndim], mode="edge") for part in (TIMES, VALUES))
    cde = cde_of(**(EACH if steps else CHOSEN))
    short, long = solve(cde, TIMES, VALUES, kind), solve(cde, times, values, kind)
    assert len(long.values) == 57 and long.result == short.result == SUCCESS
    np.testing.assert_allclose(long.values[-1], short.values[-1], atol=1e-14, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_ends_where_the_whole_series_does(kind):
    values = np.where(RNG.uniform(size=VALUES.shape) < 0.3, np.nan, VALUES)
    values[0] = VALUES[0]
    cde, stream = cde_of(**EACH), ControlStream(kind)
    whole = solve(cde, TIMES, values, kind, "forward")

    @eqx.filter_jit
    def streamed(cde, times, values):
        def observe(carry, observation):
            knot, pieces = stream.extend(carry[0], *observation)
            state = cde.advance(carry[1], pieces, throw=False)
            return (knot, state), cde.read(state)

        knot = stream.begin(times[0], values[0])
        state = cde.begin(knot.value)
        (_, end), read = jax.lax.scan(observe, (knot, state), (times[1:], values[1:]))
        return end, jnp.concatenate([cde.read(state)[None], read])

    state, read = streamed(cde, jnp.asarray(TIMES), jnp.asarray(values))
    np.testing.assert_allclose(read, whole.values, atol=1e-13)
    assert state.num_evaluations == whole.num_evaluations == whole.state.num_evaluations


@pytest.mark.parametrize("solver", sorted(EXPLICIT_SOLVERS))
def test_the_evaluations_reported_are_those_made(solver):
    chosen = {"steps": None, "rtol": 1e-4}
    known = {"dopri8": [EXACT], "heun": [EACH, chosen], "tsit5": [{"steps": 2}, CHOSEN]}
    for options in known.get(solver, [{"steps": 16}]):
        found = solve(cde_of(**{"solver": solver} | options), TIMES, 4 * VALUES, "hermite")
        assert found.result == SUCCESS


def test_a_failed_solve_is_nan_and_leaves_the_others_alone():
    cde = cde_of("silu", **CHOSEN)
    wild = VALUES.copy()
    wild[3:] *= 300.0  # more than 24 steps of Tsit5 can follow
    paths = [drawn(jnp.asarray(TIMES), jnp.asarray(values)) for values in (VALUES, wild, VALUES)]

    @eqx.filter_jit
    @lambda f: eqx.filter_grad(f, has_aux=True)
    def gradient_of(cde, paths):
        found = jax.vmap(lambda path: cde(path, throw=False))(paths)
        return jnp.sum(jnp.where(found.result[:, None, None] == SUCCESS, found.values, 0) ** 2), found

    gradient, found = gradient_of(cde, jax.tree.map(lambda *leaves: jnp.stack(leaves), *paths))
    assert found.result.tolist() == [SUCCESS, MAX_STEPS, SUCCESS]
    finite = np.isfinite(found.values[1]).all(axis=1)
    assert 3 <= finite.sum() < 7 and finite[: finite.sum()].all() and np.isnan(found.values[1, finite.sum() :]).all()
    alone = eqx.filter_jit(lambda cde, path: cde(path).values)
    np.testing.assert_allclose(found.values[0], alone(cde, paths[0]), rtol=1e-12)
    np.testing.assert_allclose(found.values[2], found.values[0], rtol=1e-12)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    with pytest.raises(RuntimeError, match=r"used up its steps.*\(result 1\)"):
        jax.block_until_ready(alone(cde, paths[1]))


def test_a_field_or_a_series_that_is_not_finite_has_its_code():
    cde = eqx.tree_at(lambda m: m.field.network.layers[0].bias, cde_of(solver="euler", steps=16), jnp.full(6, jnp.nan))
    found = solve(cde, TIMES, VALUES, "hermite")
    assert found.result == NONFINITE and np.isnan(found.values).all()
    found = solve(cde_of(**EACH), TIMES[::-1].copy(), VALUES, "hermite")
    assert found.result == NONFINITE and np.isnan(found.values).all()
    with pytest.raises(SolverError, match=r"NaN or infinity.*\(result 2\)"):
        cde(drawn(jnp.asarray(TIMES), jnp.asarray(VALUES)))


def test_single_precision_stays_single():
    cde = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32) if eqx.is_inexact_array(leaf) else leaf, cde_of(**EACH))
    rough = solve(cde, TIMES.astype("float32"), VALUES.astype("float32"), "hermite").values
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, solve(cde_of(**EACH), TIMES, VALUES, "hermite").values, atol=1e-5)


def test_options_and_controls_that_do_not_fit_are_refused_in_one_line():
    for options, message in (
        ({"solver": "tsit"}, "solver must be one of.*Did you mean 'tsit5'"),
        ({"adjoint": "checkpointed"}, "adjoint must be one of.*Did you mean 'checkpoint'"),
        ({"adjoint": "implicit"}, "adjoint must be one of"),
        ({"readout": "last"}, "readout must be one of"),
        ({"solver": "euler", "steps": None}, "estimates no error to choose steps by. Give a number"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"rtol": 0.0}, "rtol must be positive"),
        ({"width": 0}, "width must be at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            cde_of(**options)
    with pytest.raises(ModelInputError, match=r"controls of 3 channels \(time, values, counts\), got 5"):
        cde_of()(control(jnp.asarray(TIMES), jnp.asarray(VALUES), count_weight=1))
