import functools
import tomllib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import jacobian_norm
from neuralop_jax.models import FNO, ImplicitFNO, build, count_parameters

OPTIONS = {"in_channels": 1, "out_channels": 1, "n_modes": (6,), "width": 6, "padding": 0.25, "rtol": 1e-10, "max_steps": 200}
U = jnp.sin(jnp.linspace(0, 6, 16)).reshape(1, 1, 16) * jnp.arange(1, 4.0).reshape(3, 1, 1)


def model_of(**options):
    model = ImplicitFNO(**OPTIONS | options, key=jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, float)) if eqx.is_inexact_array(leaf) else leaf, model)


def with_gate(model, factor):
    return eqx.tree_at(lambda m: m.gate.scale, model, factor * model.gate.scale)


@eqx.filter_jit
def solve(model, u, key=None):
    return model.solve(u, key=key)


@functools.cache
def plain():
    """Output and hidden field after very many steps."""
    model = model_of()
    v = model.inject(U[0])
    z = jax.jit(lambda v: jax.lax.fori_loop(0, 300, lambda _, z: model.step(z, v), v))(v)
    return model.projection(z[:, 4:-4]), z


@pytest.mark.parametrize("method", ["anderson", "broyden", "picard"])
def test_the_output_is_that_of_the_equilibrium_whatever_the_method(method):
    output, equilibrium = solve(model_of(method=method), U[0])
    assert equilibrium.successful and equilibrium.relative_residual <= 1e-10
    np.testing.assert_allclose(equilibrium.value, plain()[1], rtol=0, atol=1e-8)
    np.testing.assert_allclose(output, plain()[0], rtol=0, atol=1e-8)


def test_the_map_contracts_at_the_start():
    """The largest singular value of its Jacobian, by the power method, and the mean square of all."""
    model = model_of(width=32, rtol=1e-3)
    v = model.inject(U[2])
    z = solve(model, U[2])[1].value

    @jax.jit
    def norms(z, v):
        push = jax.linearize(lambda z: model.step(z, v), z)[1]
        pull = lambda t: jax.linear_transpose(push, z)(t)[0]
        unit = lambda t: t / jnp.linalg.norm(t)
        t = jax.lax.fori_loop(0, 50, lambda _, t: unit(pull(push(t))), unit(jax.random.normal(jax.random.key(1), z.shape)))
        mean = jacobian_norm(model.step, z, v, samples=20, key=jax.random.key(2)) / z.size
        return jnp.linalg.norm(push(t)), mean

    largest, mean = norms(z, v)
    assert largest < 0.9 and mean < largest**2
    assert norms(z, v)[0] > 0.2  # and is no constant


def test_a_sample_that_fails_is_nan_in_use_and_its_best_point_in_training():
    whole = model_of()
    broken = jnp.asarray(U).at[1, 0, 3].set(jnp.nan)
    output, equilibrium = solve(whole, jnp.moveaxis(broken, 0, 1))
    assert equilibrium.result.tolist() == [0, 2, 0]
    assert jnp.isnan(output[:, 1]).all()
    alone = solve(whole, U[2])
    np.testing.assert_allclose(output[:, 2], alone[0], rtol=1e-9)
    assert equilibrium.num_steps[2] == alone[1].num_steps
    expanding = with_gate(model_of(method="picard", max_steps=30), 30)
    output, equilibrium = solve(expanding, U[0])
    assert equilibrium.result == 8 and jnp.isnan(output).all()
    output, equilibrium = solve(expanding, U[0], jax.random.key(0))
    assert equilibrium.result == 8 and jnp.isfinite(output).all()
    short = model_of(max_steps=2)
    output, equilibrium = solve(short, U[0])
    assert equilibrium.result == 1 and 1e-10 < equilibrium.relative_residual < 0.1  # accepted, and said
    assert jnp.isfinite(output).all() and jnp.isnan(solve(model_of(max_steps=2, accept=0), U[0])[0]).all()


def test_gradients_in_training_are_finite_where_there_is_no_equilibrium():
    expanding = with_gate(model_of(max_steps=8), 30)
    loss = lambda model, key: jnp.sum(model.batched(U, key=key) ** 2)
    keys = jax.random.split(jax.random.key(0), 3)
    slopes = eqx.filter_jit(eqx.filter_grad(loss))(expanding, keys)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_the_phantom_gradient_is_that_of_one_step():
    model, (_, z) = model_of(gradient="phantom"), plain()

    def one_step(model):
        return jnp.sum(model.projection(model.step(z, model.inject(U[0]))[:, 4:-4]) ** 2)

    slopes = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(m(U[0]) ** 2)))(model)
    wanted = eqx.filter_jit(eqx.filter_grad(one_step))(model)
    for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)


def test_the_two_configurations_compared_have_as_many_parameters(request):
    numbers = []
    for name in ("implicit_fno", "fno_width_12"):
        spec = tomllib.loads((request.config.rootpath / f"configs/darcy_small/{name}.toml").read_text())["model"]
        shapes = eqx.filter_eval_shape(lambda s: build(s, in_channels=1, out_channels=1, key=jax.random.key(0)), spec)
        numbers.append(sum(leaf.size for leaf in jax.tree.leaves(shapes)))
    assert numbers == [100_645, 98_821]
    explicit = FNO(in_channels=1, out_channels=1, n_modes=(6,), width=6, depth=1, padding=0.25, key=jax.random.key(0))
    assert count_parameters(model_of()) == count_parameters(explicit) + 6  # one block, and the scales


def test_wrong_options_are_refused():
    with pytest.raises(ModelInputError, match=r"a grid with points, got an input of shape \(1, 0\)"):
        model_of().solve(jnp.ones((1, 0)))
    with pytest.raises(ConfigError, match="method must be one of 'anderson', 'broyden', 'picard', got 'andersen'. Did you mean"):
        model_of(method="andersen")
    with pytest.raises(ConfigError, match="accept must not be negative, got -1"):
        model_of(accept=-1)
    with pytest.raises(ConfigError, match="history must be an integer of at least 1, got 0"):
        model_of(history=0)
