"""Everything that cannot be is refused in one line that says what was found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.implicit import (
    GCR,
    Neumann,
    custom_root,
    fixed_point,
    project_affine,
    project_box,
    project_l1_ball,
    project_l2_ball,
    project_simplex,
    prox_elastic_net,
    prox_group_lasso,
    prox_lasso,
    prox_nonnegative,
    prox_ridge,
)

X = jnp.ones(2)
SETS = {
    r"project_simplex needs one vector, not empty, got shape \(2, 2\)": lambda: project_simplex(jnp.ones((2, 2))),
    r"project_simplex needs one vector, not empty, got shape \(0,\)": lambda: project_simplex(jnp.ones(0)),
    r"project_l1_ball needs one vector, not empty, got shape \(2, 2\)": lambda: project_l1_ball(jnp.ones((2, 2))),
    r"project_affine needs one vector, not empty, got shape \(2, 2\)": lambda: project_affine(
        jnp.ones((2, 2)), jnp.ones((1, 2)), X[:1]
    ),
    "project_simplex needs total above 0, got 0.0": lambda: project_simplex(X, 0.0),
    "project_l1_ball needs radius above 0, got -1": lambda: project_l1_ball(X, -1),
    "project_l2_ball needs radius of at least 0, got -1.0": lambda: project_l2_ball(X, -1.0),
    "project_box needs lower <= upper": lambda: project_box(X, 1.0, jnp.asarray([2.0, 0.0])),
    "prox_lasso needs weight of at least 0, got -1.0": lambda: prox_lasso(X, -1.0),
    "prox_ridge needs weight of at least 0, got -1.0": lambda: prox_ridge(X, -1.0),
    "prox_lasso needs weight of at least 0, got nan": lambda: prox_elastic_net(X, (float("nan"), 1.0)),
    "prox_group_lasso needs weight of at least 0, got -1.0": lambda: prox_group_lasso(X, -1.0),
    "prox_nonnegative needs weight of at least 0, got -1.0": lambda: prox_nonnegative(X, -1.0),
}
OPTIONS = {
    "max_steps to be an integer of at least 0, got -3": lambda: fixed_point(jnp.cos, X, max_steps=-3),
    "rtol to be a known number of at least 0, got nan": lambda: fixed_point(jnp.cos, X, rtol=float("nan")),
    "a start of real floating arrays, got nothing": lambda: fixed_point(jnp.cos, jnp.zeros(0)),
    "rtol and atol of at least 0, got -1.0": lambda: GCR(rtol=-1.0),
    "rtol and atol of at least 0, got nan": lambda: GCR(rtol=float("nan")),
    "integer of at least 1, got 0": lambda: Neumann(0),
    "Neumann.scale must be positive and finite, got 0": lambda: Neumann(3, 0),
    "Neumann.scale must be positive and finite, got -1": lambda: Neumann(3, jnp.asarray(-1)),
    "got 2.5": lambda: Neumann(jnp.asarray(2.5)),
    "a solution of real floating arrays, got int64": lambda: custom_root(lambda x: x)(lambda x: 3)(X),
    "a start of real floating arrays, got int64": lambda: custom_root(lambda x: x, host=True)(lambda x: x)(1),
}


@pytest.mark.parametrize("words", SETS)
def test_sets_that_are_empty_and_arrays_that_are_no_vectors(words):
    with pytest.raises(ModelInputError, match=words):
        SETS[words]()


@pytest.mark.parametrize("words", OPTIONS)
def test_options_and_unknowns(words):
    with pytest.raises(ConfigError, match=words):
        OPTIONS[words]()


def test_solvers_on_the_host_may_write_and_must_fit():
    def halve(x):
        x /= 2
        return x

    start = jnp.ones(2, "float32")
    on_host = lambda solve: custom_root(lambda x: x, host=True)(solve)(start)
    assert on_host(halve).tolist() == [0.5, 0.5] and start.tolist() == [1, 1]
    for wrong, found in (
        (lambda x: x[:1], r"float32\(1,\)"),
        (lambda x: x + 1j, r"complex64\(2,\)"),
        (lambda x: None, "got None"),
    ):
        with pytest.raises(Exception, match=r"in the structure of its start, float32\(2,\), got .*" + found.removeprefix("got ")):
            jax.block_until_ready(on_host(wrong))
    np.testing.assert_array_equal(on_host(lambda x: [1, 2][0] * x.astype(float)), 1)
