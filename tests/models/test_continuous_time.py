import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError, SolverError
from neuralop_jax.evaluation import evaluate
from neuralop_jax.models import (
    FNO,
    REGISTRY,
    AbstractGridOperator,
    Autoregressive,
    ContinuousTime,
    Normalized,
    apply_counted,
    build,
    spec_of,
)
from neuralop_jax.normalizers import GaussianNormalizer

INNER = {"kind": "fno", "n_modes": [8], "width": 6, "depth": 1}
KEY = jax.random.key(0)
states = eqx.filter_jit(lambda model, u: model(u))
frames = eqx.filter_jit(lambda model, u: model.frames(u))
solve = eqx.filter_jit(lambda model, u: model.solve(u))


class Rates(AbstractGridOperator):
    """The right-hand side a u + b u^2, point by point, of which the solution is known."""

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    square: float = eqx.field(static=True)
    rate: jax.Array

    def __init__(self, *, in_channels, out_channels, square=0.0, num_dims=1, key):
        self.in_channels, self.out_channels, self.num_dims, self.width = in_channels, out_channels, num_dims, 1
        self.square, self.rate = square, jnp.asarray(-1.0)

    def evaluate(self, u, p=None, *, key=None):
        return self.rate * u + self.square * u**2


class Rotation(Rates):
    """The right-hand side (w, -u) of two channels."""

    def evaluate(self, u, p=None, *, key=None):
        return self.rate * jnp.stack([-u[1], u[0]])


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(REGISTRY, "rates", Rates)
    monkeypatch.setitem(REGISTRY, "rotation", Rotation)


def model_of(times=(1.0,), **options):
    plain = {"in_channels": 1, "out_channels": len(times), "operator": INNER, "times": times, "key": KEY}
    return ContinuousTime(**(plain | options))


def test_states_and_gradients_are_those_of_the_equation():
    model = model_of((0.0, 0.3, 2.0), operator={"kind": "rates"}, rtol=1e-9, atol=1e-10)
    u = jax.random.normal(KEY, (1, 3, 16))
    last = lambda m, u: (lambda found: (found[2].sum(), found))(m.frames(u, key=KEY))
    slope, found = eqx.filter_jit(eqx.filter_grad(last, has_aux=True))(model, u)
    u = np.asarray(u)
    np.testing.assert_allclose(found, u[None] * np.exp(-np.asarray([0.0, 0.3, 2.0])).reshape(3, 1, 1, 1), atol=1e-7)
    np.testing.assert_allclose(slope.inner.rate, 2 * (u * np.exp(-2)).sum(), rtol=1e-6)


def test_samples_together_share_steps_that_the_hardest_of_them_needs():
    model = model_of((1.0,), operator={"kind": "rates", "square": 1.0}, rtol=1e-6, atol=1e-9)
    u = jnp.asarray([0.01, 0.01, 0.01, 0.99]).reshape(1, 4, 1) * jnp.ones((1, 4, 8))
    exact = lambda u: u * np.exp(-1) / (1 - u + u * np.exp(-1))
    solution = solve(model, u)
    np.testing.assert_allclose(solution.values[0], exact(np.asarray(u)), rtol=1e-5)
    hard = solve(model, u[:, [3, 3, 3, 3]])
    assert solution.num_steps >= hard.num_steps
    assert solution.num_evaluations == 6 * solution.num_steps + 1 + 2


def test_gradients_of_samples_together_by_the_adjoint_equation():
    u = jax.random.normal(KEY, (1, 3, 8))
    slope = eqx.filter_jit(eqx.filter_grad(lambda m, u: (m.frames(u, key=KEY) ** 2).sum()))
    exact, found = (slope(model_of(rtol=1e-7, atol=1e-8, adjoint=name), u) for name in ("checkpoint", "backsolve"))
    for one, other in zip(jax.tree.leaves(exact), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_with_augmented_channels_a_flow_can_turn_fields_over():
    """u'' = -u from rest: u cos t, which is -u at t = pi, where no flow of u alone can come."""
    times = (1.0, float(np.pi))
    model = model_of(times, operator={"kind": "rotation"}, augmented_channels=1, rtol=1e-9, atol=1e-10)
    u = jax.random.normal(KEY, (1, 3, 16))
    found = frames(model, u)
    np.testing.assert_allclose(found, np.asarray(u)[None] * np.cos(times).reshape(2, 1, 1, 1), atol=1e-7)
    np.testing.assert_allclose(states(model.at_times((2.0,)), u[:, 0]), np.asarray(u)[:, 0] * np.cos(2.0), atol=1e-7)
    assert spec_of(model)["augmented_channels"] == 1 and spec_of(model)["in_channels"] == 1


def test_outputs_and_cost_of_a_sample_are_those_of_its_own_solve():
    model = model_of((1.0,), operator={"kind": "rates", "square": 1.0}, rtol=1e-6, atol=1e-9)
    units = GaussianNormalizer(jnp.zeros(1), jnp.asarray([2.0]))
    u = jnp.asarray([0.01, 1.98, 18.0]).reshape(3, 1, 1) * jnp.ones((3, 1, 8))
    outputs, found = (np.asarray(x) for x in eqx.filter_jit(apply_counted)(Normalized(model, units, units), u))
    assert np.isnan(outputs[2]).all() and np.isnan(found[2])  # infinite at time 0.118
    u, outputs, found = u[:2], outputs[:2], found[:2]
    alone = [solve(model, each / 2) for each in u]
    assert found.tolist() == [each.num_evaluations for each in alone] and found[0] != found[1]
    np.testing.assert_allclose(outputs, np.stack([2 * each.values[0] for each in alone]), rtol=1e-12)
    measured = evaluate(model, Sample({"u": u / 2}, jnp.ones_like(u)))
    assert measured["num_evaluations"] == np.mean(found)
    np.testing.assert_allclose(measured["max_error"], np.mean([np.abs(each.values[0] - 1).max() for each in alone]), rtol=1e-9)
    fno = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=KEY)
    outputs, found = eqx.filter_jit(apply_counted)(fno, u)
    np.testing.assert_array_equal(outputs, eqx.filter_jit(lambda m, u: m.batched(u))(fno, u))
    assert found is None


def test_an_evaluation_solves_each_sample_once(monkeypatch):
    calls, plain = [], Rates.evaluate
    counted = lambda m, u, *p, **key: (jax.debug.callback(lambda _: calls.append(1), u[0, 0]), plain(m, u, *p, **key))[1]
    model = model_of((1.0,), operator={"kind": "rates"}, solver="heun", time_step=0.25)
    monkeypatch.setattr(Rates, "evaluate", counted)
    found = evaluate(model, Sample({"u": jnp.ones((3, 1, 8))}, jnp.ones((3, 1, 8))))
    jax.effects_barrier()
    assert found["num_evaluations"] == 8 and len(calls) == 3 * 8


def test_a_solve_that_fails_has_no_state():
    model = model_of((1.0,), operator={"kind": "rates", "square": 1.0}, max_steps=3, rtol=1e-9, atol=1e-9)
    u = jnp.full((1, 8), 0.9)
    outputs, failed = eqx.filter_jit(lambda m, u: (m(u), m.solve(u)))(model, u)
    assert np.isnan(outputs).all() and failed.result == 1
    with pytest.raises(SolverError, match="used up its steps"):
        failed.or_raise()


def test_a_sample_that_fails_leaves_the_others_whole():
    model = model_of((1.0,), operator={"kind": "rates", "square": 1.0})
    u = jnp.asarray([0.5, 9.0, 0.2]).reshape(3, 1, 1) * jnp.ones((3, 1, 4))
    together, code = eqx.filter_jit(lambda m, u: (m.batched(u), m.solve(jnp.moveaxis(u, 0, 1)).successful))(model, u)
    assert np.isnan(together[1]).all() and not code
    np.testing.assert_allclose(together[::2], eqx.filter_jit(jax.vmap(lambda u: model(u)))(u[::2]), rtol=1e-12)


def test_constant_steps_of_euler_are_an_autoregressive_operator():
    continuous = model_of((1.0, 2.0), solver="euler", time_step=1.0)
    steps = Autoregressive(in_channels=1, out_channels=2, operator=INNER, times=(1.0, 2.0), key=KEY)
    u = jax.random.normal(KEY, (1, 16))
    np.testing.assert_allclose(states(continuous, u), states(steps, u), atol=1e-12)


def test_it_refines_in_space_and_time():
    model = model_of((0.5, 1.0), rtol=1e-8, atol=1e-9)
    x = np.arange(64) / 64
    u = jnp.asarray(np.cos(2 * np.pi * x) + 0.3 * np.sin(4 * np.pi * x))[None]
    fine, coarse = (np.asarray(states(model, v)) for v in (u, u[:, ::2]))
    assert np.abs(fine[:, ::2] - coarse).max() < 5e-3 * np.abs(fine).max()
    between = model.at_times((0.25, 0.5, 1.0))
    np.testing.assert_allclose(states(between, u)[1:], fine, atol=1e-6)


def test_specification_and_back():
    spec = json.loads(json.dumps(spec_of(model_of((1.0, 2.0), time_step=0.5, solver="heun"))))
    assert spec["operator"]["n_modes"] == [8] and spec["time_step"] == 0.5
    assert spec_of(build(spec, key=KEY)) == spec


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"times": (0.0,)}, "times must go beyond 0"),
        ({"solver": "tsitt5"}, "solver must be one of .* Did you mean 'tsit5'"),
        ({"adjoint": "implicit"}, "adjoint must be one of 'checkpoint', 'direct', 'backsolve'"),
        ({"time_step": -1.0}, "step must be positive"),
        ({"rtol": 0.0, "atol": 0.0}, "needs tolerances of which one is positive"),
        ({"solver": "euler"}, "Euler does not estimate its error"),
        ({"time_step": 1e-4}, "comes to 0.1 in max_steps=1000, the last time is 1. Use a max_steps of 10000"),
        ({"max_steps": 0}, "max_steps must be an integer of at least 1"),
        ({"augmented_channels": -1}, "augmented_channels must be an integer of at least 0"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        model_of(**options)
