import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import metrics
from neuralop_jax.grids import Grid

RELATIVE = ("relative_l2", "relative_h1", "normalized_rmse")


def test_a_scaled_field_is_as_wrong_as_its_scale(getkey):
    target = jax.random.normal(getkey(), (3, 12, 7))
    prediction = target * jnp.array([1.1, 0.5, -1.0])[:, None, None]
    for name in ("relative_l2", "relative_h1"):
        np.testing.assert_allclose(getattr(metrics, name)(prediction, target), [0.1, 0.5, 2.0], rtol=1e-12)
    constant = target.mean((1, 2), keepdims=True) * jnp.ones_like(target)
    np.testing.assert_allclose(metrics.normalized_rmse(constant, target), 1, rtol=1e-12)


def test_norms_against_numpy(getkey):
    prediction, target = jax.random.normal(getkey(), (2, 3, 5, 8))
    e, y = np.asarray(prediction - target).reshape(3, -1), np.asarray(target).reshape(3, -1)
    np.testing.assert_allclose(
        metrics.relative_l2(prediction, target), np.linalg.norm(e, axis=1) / np.linalg.norm(y, axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(
        metrics.relative_l2(prediction, target, joint=True), [np.linalg.norm(e) / np.linalg.norm(y)], rtol=1e-12
    )
    np.testing.assert_allclose(metrics.normalized_rmse(prediction, target), np.sqrt((e**2).mean(1)) / y.std(1), rtol=1e-12)
    np.testing.assert_allclose(metrics.max_error(prediction, target), np.abs(e).max(1))
    np.testing.assert_allclose(metrics.max_error(prediction, target, joint=True), [np.abs(e).max()])
    np.testing.assert_allclose(metrics.mse(prediction, target), (e**2).mean(1), rtol=1e-12)
    np.testing.assert_allclose(metrics.mse(prediction, target, joint=True), [(e**2).mean()], rtol=1e-12)


@pytest.mark.parametrize("points", [15, 16])
def test_h1_of_sines_on_a_periodic_anisotropic_box(points):
    """sin(2 pi (k x/a + m y/b)) and the constant 1: their squared H1 norms per volume are (1 + |gradient|^2)/2 and 1."""
    a, b, k, m = 2.0, 0.5, 3, 1
    grid = Grid((points, 12), ((0.0, a), (1.0, 1.0 + b)), ("periodic", "periodic"))
    x, y = np.meshgrid(*grid.coordinates(), indexing="ij")
    wave = np.sin(2 * np.pi * (k * x / a + m * (y - 1) / b))[None]
    slope = (2 * np.pi * k / a) ** 2 + (2 * np.pi * m / b) ** 2
    found = metrics.relative_h1(jnp.asarray(1 + wave), jnp.ones_like(wave), grid)
    np.testing.assert_allclose(found, np.sqrt((1 + slope) / 2), rtol=1e-12)
    found = metrics.relative_h1(jnp.asarray(1 + wave), jnp.asarray(wave), grid)
    np.testing.assert_allclose(found, np.sqrt(2 / (1 + slope)), rtol=1e-12)


def test_h1_differences_are_exact_for_quadratics_and_of_second_order():
    def norm(points, f, slope):
        grid = Grid((points, 6), ((0.0, 3.0), (0.0, 1.0)), ("dirichlet", "periodic"))
        x = grid.coordinates()[0][:, None] * np.ones(6)
        square = (f(x) ** 2).mean() + (slope(x) ** 2).mean()
        found = metrics.relative_h1(jnp.asarray(1 + f(x))[None], jnp.ones((1, points, 6)), grid)
        return abs(float(found[0]) / np.sqrt(square) - 1)

    assert norm(9, lambda x: x**2 - x, lambda x: 2 * x - 1) < 1e-12
    coarse, fine = (norm(n, np.sin, np.cos) for n in (257, 513))
    assert 1.85 < np.log2(coarse / fine) < 2.15


def test_h1_without_a_grid_is_on_the_unit_box_with_spacing_one_over_n():
    x = jnp.arange(10) / 10
    np.testing.assert_allclose(metrics.relative_h1((1 + x)[None], jnp.ones((1, 10))), np.sqrt(jnp.mean(x**2) + 1), rtol=1e-12)


@pytest.mark.parametrize(("points", "slope"), [(1, 0.0), (2, 4.0)])
def test_h1_on_one_and_two_points(points, slope):
    u = jnp.arange(1.0, 1 + points)[None]
    grid = Grid((points,), ((0.0, 0.25),))
    np.testing.assert_allclose(
        metrics.relative_h1(2 * jnp.ones_like(u) + u, 2 * jnp.ones_like(u), grid),
        np.sqrt((jnp.mean(u**2) + slope**2) / 4),
    )


def test_complex_fields(getkey):
    u = jax.random.normal(getkey(), (2, 1, 16))
    z = u[0] + 1j * u[1]
    grid = Grid((16,), boundary=("periodic",))
    for name in ("relative_l2", "relative_h1"):
        f = getattr(metrics, name)
        np.testing.assert_allclose(f(z * jnp.exp(0.5j), z, grid), abs(np.exp(0.5j) - 1), rtol=1e-12)
        np.testing.assert_allclose(f(0 * z, z, grid), 1, rtol=1e-12)


@pytest.mark.parametrize("name", RELATIVE)
@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_the_unit_of_a_field_does_not_matter(getkey, name, unit):
    prediction, target = jax.random.normal(getkey(), (2, 1, 9, 9), jnp.float32)
    f = getattr(metrics, name)
    found = f(jnp.float32(unit) * prediction, jnp.float32(unit) * target)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, f(prediction, target), rtol=1e-5)


def test_a_target_that_vanishes_leaves_the_root_mean_square(getkey):
    e = jax.random.normal(getkey(), (2, 9))
    zero = jnp.zeros_like(e)
    np.testing.assert_allclose(metrics.relative_l2(e, zero), jnp.sqrt(jnp.mean(e**2, 1)), rtol=1e-12)
    np.testing.assert_allclose(metrics.relative_l2(e, zero, joint=True), [jnp.sqrt(jnp.mean(e**2))], rtol=1e-12)
    assert (metrics.relative_l2(zero, zero) == 0).all()


def test_nan_is_not_hidden():
    target = jnp.ones((1, 4))
    for name in (*RELATIVE, "max_error", "mse"):
        assert jnp.isnan(getattr(metrics, name)(target.at[0, 1].set(jnp.nan), target)).all()


def test_accuracy_counts_the_points_of_the_right_class():
    target = jnp.asarray([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
    logits = jnp.asarray([[3.0, 9.0, -1.0, jnp.nan], [1.0, 2.0, 0.0, 0.0]])
    assert metrics.accuracy(logits, target) == 0.5  # a failed prediction is wrong, also where argmax would call it right
    for other in (0.5 * target, target + target[::-1], target[:1] * 0 + 1, 0 * target):
        assert jnp.isnan(metrics.accuracy(logits[: len(other)], other))
