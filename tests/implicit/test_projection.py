"""Projections: closed forms, the conditions that make a point the nearest one, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.implicit import (
    project_affine,
    project_box,
    project_l1_ball,
    project_l2_ball,
    project_nonnegative,
    project_simplex,
)

RANDOM = np.random.default_rng(0)
MATRIX = jnp.asarray(RANDOM.normal(size=(2, 6)))


def simplex_points(n):
    return RANDOM.dirichlet(np.ones(6), n)


CASES = {  # the projection and points of the set
    "nonnegative": (project_nonnegative, np.abs(RANDOM.normal(size=(50, 6)))),
    "box": (lambda x: project_box(x, -0.5, jnp.linspace(0.0, 1.0, 6)), RANDOM.uniform(-0.5, np.linspace(0, 1, 6), (50, 6))),
    "simplex": (project_simplex, simplex_points(50)),
    "large simplex": (lambda x: project_simplex(x, 3.0), 3 * simplex_points(50)),
    "l1 ball": (lambda x: project_l1_ball(x, 2.0), 2 * simplex_points(50) * RANDOM.choice([-1, 1], (50, 6))),
    "l2 ball": (lambda x: project_l2_ball(x, 0.7), 0.7 * np.linalg.qr(RANDOM.normal(size=(6, 6)))[0]),
    "affine": (
        lambda x: project_affine(x, MATRIX, jnp.asarray([1.0, -1.0])),
        (
            np.linalg.lstsq(MATRIX, [1, -1])[0]
            + RANDOM.normal(size=(50, 6)) @ np.linalg.svd(MATRIX)[2][2:].T @ np.linalg.svd(MATRIX)[2][2:]
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_nearest_point_and_so_are_its_derivatives(name):
    """<x - P(x), z - P(x)> <= 0 for every z of the set; P is the identity there; its Jacobian is a symmetric contraction."""
    project, points = CASES[name]
    project = jax.jit(project)
    derivative = jax.jit(jax.jacfwd(project))
    for x in jnp.asarray(RANDOM.normal(size=(4, 6))) * 2:
        found = project(x)
        assert ((points - np.asarray(found)) @ np.asarray(x - found)).max() < 1e-12
        jacobian = derivative(x)
        np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-12)
        assert np.linalg.norm(jacobian, 2) < 1 + 1e-12
        t = jnp.asarray(RANDOM.normal(size=6))
        np.testing.assert_allclose(jacobian @ t, (project(x + 1e-6 * t) - project(x - 1e-6 * t)) / 2e-6, atol=1e-8)
    for x in points[:4]:
        np.testing.assert_allclose(project(jnp.asarray(x)), x, atol=1e-12)


def test_known_points_sets_as_arguments_and_derivatives_by_them():
    @jax.jit
    def found(x, far):
        return {
            "simplex": project_simplex(x),
            "total": jax.jacrev(project_simplex, argnums=1)(x, 1.0),
            "l1": project_l1_ball(-x, 1.2),
            "inside": project_l1_ball(x, 3.0),
            "radius": jax.jacrev(project_l2_ball, argnums=1)(far, 2.0),
            "center": jax.jacrev(project_l2_ball)(0 * far),
            "upper": jax.jacrev(project_box, argnums=2)(x, 0.0, 0.6),
            "affine": jax.jacfwd(lambda b: project_affine(x, jnp.ones((1, 3)), b))(jnp.ones(1)),
        }

    x = jnp.asarray([0.9, 0.5, -1.0])
    wanted = {
        "simplex": [0.7, 0.3, 0],
        "total": [0.5, 0.5, 0],
        "l1": [-0.5, -0.1, 0.6],
        "inside": x,
        "radius": [0.6, 0.8],
        "center": np.eye(2),
        "upper": [1, 0, 0],
        "affine": np.full((3, 1), 1 / 3),
    }
    for name, value in found(x, jnp.asarray([3.0, 4.0])).items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-15, err_msg=name)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float64"])
def test_the_type_follows_the_input(kind):
    x = jnp.asarray([0.9, 0.5, -1.0], kind)
    box = lambda x: project_box(x, 0.0, 1.0)
    affine = lambda x: project_affine(x, jnp.ones((1, 3), kind), jnp.ones(1, kind))
    several = (project_nonnegative, project_simplex, project_l1_ball, project_l2_ball, box, affine)
    assert all(jax.eval_shape(project, x).dtype == x.dtype for project in several[: 5 if kind == "bfloat16" else 6])
    assert abs(float(jax.jit(project_simplex)(x).sum()) - 1) < 1e-2


@pytest.mark.parametrize("name", CASES)
def test_a_projection_never_hides_a_nan(name):
    assert jnp.isnan(jax.jit(CASES[name][0])(jnp.zeros(6).at[2].set(jnp.nan))[2])
