import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import Anderson, Picard, Richardson, SteadyState
from neuralop_jax.layers import Equilibrium, jacobian_norm, skip_penalty

WIDTH, INPUTS = 6, 3


class Cell(eqx.Module):
    """tanh(A z + B x + c) with the largest singular value of A as given."""

    recurrent: jax.Array
    inward: jax.Array
    bias: jax.Array

    def __init__(self, gain, key):
        a, b, c = (jax.random.normal(k, s) for k, s in zip(jax.random.split(key, 3), ((6, 6), (6, 3), (6,)), strict=True))
        self.recurrent, self.inward, self.bias = gain * a / jnp.linalg.norm(a, 2), b, 0.3 * c

    def __call__(self, z, x):
        return jnp.tanh(self.recurrent @ z + self.inward @ x + self.bias)


CELL = Cell(0.9, jax.random.key(0))
X = jnp.asarray([0.3, -0.2, 0.5])
zeros = lambda x: jnp.zeros(WIDTH)
loss = lambda z: jnp.sum(jnp.sin(z))


def layer(cell=CELL, **options):
    return Equilibrium(cell, **({"start": zeros, "rtol": 1e-13} | options))


@jax.jit
def iterated(x):
    return jax.lax.fori_loop(0, 400, lambda _, z: CELL(z, x), jnp.zeros(WIDTH))


@functools.cache
def solved():
    return iterated(X)


@functools.cache
def dense_gradient():
    """By the matrix of the Jacobian."""

    @eqx.filter_jit
    def gradient(cell, x, z):
        jacobian = jax.jacobian(cell)(z, x)
        u = jnp.linalg.solve(jnp.eye(WIDTH) - jacobian.T, jnp.cos(z))
        return jax.vjp(lambda cell, x: cell(z, x), cell, x)[1](u)

    return gradient(CELL, X, solved())


@eqx.filter_jit
def gradient(layer, x):
    return eqx.filter_grad(lambda both: loss(both[0](both[1])))((layer, x))


@pytest.mark.parametrize("linear", [None, lx.GMRES(1e-14, 1e-14), Richardson(Picard(), rtol=1e-14, max_steps=1000)])
def test_the_gradient_is_that_of_the_dense_system_and_not_of_a_few_steps(linear, compiled):
    """Acceptance 6."""
    by_cell, by_x = dense_gradient()
    found, along = gradient(layer(linear_solver=linear), X)
    for name in ("recurrent", "inward", "bias"):
        np.testing.assert_allclose(getattr(found.f, name), getattr(by_cell, name), rtol=0, atol=1e-10)
    np.testing.assert_allclose(along, by_x, rtol=0, atol=1e-10)
    if linear is None:
        few = lambda c: loss(functools.reduce(lambda z, _: c(z, X), range(5), jnp.zeros(WIDTH)))
        unrolled = compiled(jax.grad(few), CELL)
        assert abs(unrolled.recurrent - by_cell.recurrent).max() > 1e-2


def test_the_memory_of_the_gradient_does_not_depend_on_the_steps():
    x = jax.ShapeDtypeStruct((64, 64), jnp.float64)
    step = lambda z, x: jnp.tanh(0.4 * z + 0.3 * jnp.roll(z, 1, 0) + x)

    def implicit(x, steps):
        method = Equilibrium(step, start=jnp.zeros_like, method=Picard(), max_steps=steps, linear_solver=Richardson(Picard()))
        return jnp.sum(method(x) ** 2)

    def unrolled(x, steps):
        return jnp.sum(jax.lax.scan(lambda z, _: (step(z, x), None), jnp.zeros_like(x), length=steps)[0] ** 2)

    memory = lambda f, steps: (
        jax.jit(jax.grad(lambda x: f(x, steps))).lower(x).compile().memory_analysis().temp_size_in_bytes / (8 * x.size)
    )
    assert memory(implicit, 10) == memory(implicit, 1000) < 16
    assert memory(unrolled, 200) > 10 * memory(implicit, 200)


def test_the_phantom_gradient_is_that_of_steps_at_the_solution(compiled):
    z = solved()
    for steps, damping in ((1, 1.0), (3, 0.5)):
        found, _ = gradient(layer(gradient="phantom", phantom_steps=steps, phantom_damping=damping), X)

        def after(cell, damping=damping, steps=steps):
            return loss(functools.reduce(lambda z, _: (1 - damping) * z + damping * cell(z, X), range(steps), z))

        wanted = compiled(jax.grad(after), CELL)
        np.testing.assert_allclose(found.f.recurrent, wanted.recurrent, atol=1e-10)
        dense = np.asarray(dense_gradient()[0].recurrent)
        assert 0.5 < np.vdot(dense, wanted.recurrent) / np.linalg.norm(dense) / np.linalg.norm(wanted.recurrent) < 0.9999
    np.testing.assert_array_equal(compiled(layer(gradient="phantom"), X), compiled(layer(), X))


def test_a_learned_start_is_trained_by_its_penalty_alone_and_saves_steps(compiled):
    start = eqx.nn.Linear(INPUTS, WIDTH, key=jax.random.key(1))

    @eqx.filter_jit
    def losses(start):
        def of(start):
            solution, begin = layer(start=start, rtol=1e-8).solve(X)
            return loss(solution.value), skip_penalty(solution, begin), solution.num_steps

        return of(start), eqx.filter_grad(lambda s: of(s)[0])(start), eqx.filter_grad(lambda s: of(s)[1])(start)

    (_, penalty, steps), by_loss, by_penalty = losses(start)
    begin, exact = compiled(start, X), np.asarray(solved())
    np.testing.assert_allclose(penalty, np.mean(abs(exact - begin)), rtol=1e-6)
    assert not np.any(by_loss.weight)
    np.testing.assert_allclose(by_penalty.bias, np.sign(begin - exact) / WIDTH, rtol=1e-6)
    trained = eqx.tree_at(lambda s: s.bias, start, jnp.asarray(start.bias + exact - begin + 1e-5))
    assert losses(trained)[0][2] < steps


def test_the_skip_regularized_start_is_the_first_step(compiled):
    def solve(cell, x):
        penalty = lambda cell: skip_penalty(*layer(cell, first_step=True).solve(x))
        return *layer(cell, first_step=True).solve(x), cell(jnp.zeros(WIDTH), x), eqx.filter_grad(penalty)(cell)

    solution, begin, first, slope = compiled(solve, CELL, X)
    np.testing.assert_array_equal(begin, first)
    np.testing.assert_allclose(solution.value, solved(), atol=1e-11)
    assert abs(slope.bias).max() > 1e-3


def test_the_estimate_of_the_norm_of_the_jacobian(compiled):
    norms = lambda z, key: (jnp.sum(jax.jacobian(CELL)(z, X) ** 2), jacobian_norm(CELL, z, X, samples=4000, key=key))
    exact, estimate = compiled(norms, solved(), jax.random.key(2))
    np.testing.assert_allclose(estimate, exact, rtol=0.05)
    tree = lambda z, x: {"a": x * z["a"], "b": 2 * z["b"]}
    of_tree = lambda x, key: jacobian_norm(tree, {"a": jnp.ones(2), "b": jnp.ones((1, 3))}, x, key=key)
    value, slope = compiled(jax.value_and_grad(of_tree), jnp.asarray(3.0), jax.random.key(0))
    np.testing.assert_allclose([value, slope], [2 * 9 + 3 * 4, 2 * 2 * 3.0])


def test_the_continuous_equilibrium_ends_for_every_input_and_an_unstable_one_is_reported(compiled):
    """Acceptance 7."""
    continuous = layer(method=SteadyState(), rtol=1e-3, max_steps=1000, throw=False)

    def solve_many(key):
        inputs = jax.random.normal(key, (1000, INPUTS))
        return jax.vmap(lambda x: continuous.solve(x)[0])(inputs), jax.vmap(iterated)(inputs[:5])

    solutions, exact = compiled(solve_many, jax.random.key(3))
    assert (solutions.result == 0).all() and solutions.num_steps.max() < 100 and (solutions.relative_residual <= 1e-3).all()
    assert abs(solutions.value[:5] - exact).max() < 0.02
    unstable = Equilibrium(lambda z, x: 3 * z + x, start=jnp.ones_like, method=SteadyState(), throw=False)
    solution = compiled(lambda x: unstable.solve(x)[0], X)
    assert solution.result == 8 and np.isnan(solution.value).all()
    turning = Equilibrium(
        lambda z, x: z + jnp.stack([z[1], -z[0]]), start=lambda x: jnp.ones(2), method=SteadyState(), throw=False
    )
    assert compiled(lambda x: turning.solve(x)[0].result, X) in (1, 8)  # it goes round in circles


def test_the_gradient_of_the_continuous_equilibrium_is_implicit():
    found, _ = gradient(layer(method=SteadyState(), rtol=1e-9, max_steps=4000, linear_solver=lx.GMRES(1e-12, 1e-12)), X)
    np.testing.assert_allclose(found.f.recurrent, dense_gradient()[0].recurrent, atol=1e-6)


def test_other_states_types_and_methods(compiled):
    tree = layer(lambda z, x: {"a": 0.5 * z["b"] + x[:2], "b": 0.5 * jnp.sin(z["a"])}, start=lambda x: {"a": x[:2], "b": x[:2]})
    z = compiled(tree, X)
    np.testing.assert_allclose(z["a"], 0.25 * np.sin(z["a"]) + np.asarray(X)[:2], rtol=1e-11)
    single, x = jax.tree.map(lambda a: jnp.asarray(a, "float32"), (CELL, X))
    rough = compiled(layer(single, start=lambda x: jnp.zeros(6, x.dtype), method=Anderson(3), rtol=0), x)
    assert rough.dtype == np.float32 and abs(rough - np.asarray(solved())).max() < 1e-5


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match="gradient must be one of 'implicit', 'phantom', got 'fantom'. Did you mean 'phantom'"):
        layer(gradient="fantom")
    with pytest.raises(ConfigError, match="phantom_steps of at least 1 and a phantom_damping above 0 .*, got 0 and 1.0"):
        layer(phantom_steps=0)
