"""Proximal operators: closed forms, the minimum that they claim, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.implicit import prox_elastic_net, prox_group_lasso, prox_lasso, prox_nonnegative, prox_ridge

RANDOM = np.random.default_rng(0)
FAR = 1e9
CASES = {  # operator, weights, the function g
    "lasso": (prox_lasso, 0.7, lambda x: 0.7 * jnp.abs(x).sum()),
    "ridge": (prox_ridge, 0.7, lambda x: 0.35 * jnp.sum(x**2)),
    "elastic net": (prox_elastic_net, (0.4, 0.8), lambda x: 0.4 * jnp.abs(x).sum() + 0.4 * jnp.sum(x**2)),
    "group lasso": (
        prox_group_lasso,
        jnp.asarray([0.5, 1.5, 1.0]),
        lambda x: jnp.linalg.norm(x, axis=1) @ jnp.asarray([0.5, 1.5, 1.0]),
    ),
    "nonnegative": (prox_nonnegative, 0.3, lambda x: 0.3 * x.sum() + jnp.where(x.min() < 0, FAR, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_minimum_and_so_are_its_derivatives(name):
    """Prox is the derivative of a convex function: its Jacobian is symmetric with eigenvalues between 0 and 1."""
    prox, weights, g = CASES[name]
    value = jax.jit(jax.vmap(lambda z, x: jnp.sum((z - x) ** 2) / 2 + g(z), in_axes=(0, None)))
    apply = jax.jit(lambda x: prox(x, weights))
    x = jnp.asarray(RANDOM.normal(size=(3, 2)))
    found = apply(x)
    around = found[None] + jnp.asarray(RANDOM.normal(size=(500, 3, 2)) * np.logspace(-4, 0, 500)[:, None, None])
    assert value(around, x).min() >= value(found[None], x)[0] and value(jnp.zeros((1, 3, 2)), x)[0] >= value(found[None], x)[0]
    jacobian = jax.jit(jax.jacfwd(apply))(x).reshape(6, 6)
    np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-14)
    eigenvalues = np.linalg.eigvalsh(jacobian)
    assert eigenvalues.min() > -1e-14 and eigenvalues.max() < 1 + 1e-14
    t = jnp.asarray(RANDOM.normal(size=(3, 2)))
    np.testing.assert_allclose(jacobian @ t.ravel(), (apply(x + 1e-6 * t) - apply(x - 1e-6 * t)).ravel() / 2e-6, atol=1e-8)


def test_known_values_and_derivatives_by_the_weights():
    @jax.jit
    def found(x, groups):
        return {
            "lasso": prox_lasso(x, 1.0),
            "threshold": jax.jacrev(prox_lasso, argnums=1)(x, 1.0),
            "elastic net": prox_elastic_net(x, (1.0, 1.0)),
            "ridge": jax.jacrev(prox_ridge, argnums=1)(x, 1.0),
            "nonnegative": prox_nonnegative(x),
            "groups": prox_group_lasso(groups, 1.0),
            "group weight": jax.jacrev(prox_group_lasso, argnums=1)(groups, 1.0),
            "no weight": jax.jacrev(prox_group_lasso)(groups[:1], 0.0).reshape(2, 2),
        }

    wanted = {
        "lasso": [-2, 0, 1],
        "threshold": [1, 0, -1],
        "elastic net": [-1, 0, 0.5],
        "ridge": [0.75, -0.125, -0.5],
        "nonnegative": [0, 0.5, 2],
        "groups": [[2.4, 3.2], [0, 0], [0, 0]],
        "group weight": [[-0.6, -0.8], [0, 0], [0, 0]],
        "no weight": np.eye(2),
    }
    for name, value in found(jnp.asarray([-3.0, 0.5, 2.0]), jnp.asarray([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])).items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-15, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_the_type_follows_and_no_nan_is_hidden(name):
    prox, weights, _ = CASES[name]
    weights = jax.tree.map(lambda w: w if isinstance(w, float) else w.astype("float32"), weights)
    assert jax.eval_shape(lambda x: prox(x, weights), jnp.ones((3, 2), "float32")).dtype == "float32"
    assert jnp.isnan(jax.jit(lambda x: prox(x, CASES[name][1]))(jnp.zeros((3, 2)).at[1, 1].set(jnp.nan))[1, 1])
