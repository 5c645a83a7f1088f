"""Sensors: exactness, order, transpose; the size of the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.grids import Grid
from neuralop_jax.inverse import Sensors, add_noise, random_sensors

GRIDS = {
    "ends included": Grid((5, 7), ((0.0, 2.0), (-1.0, 1.0))),
    "cell centers": Grid((5, 7), ((0.0, 2.0), (-1.0, 1.0)), ("neumann", "neumann"), centered=(True, True)),
    "line": Grid((6,), ((1.0, 3.0),)),
    "three axes": Grid((3, 4, 5)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_affine_fields_are_read_exactly_anywhere_in_the_box(name, compiled):
    grid = GRIDS[name]
    sensors = random_sensors(grid, 40, key=jax.random.key(1))
    low, high = np.asarray(grid.extent).T
    sensors = Sensors(np.concatenate([sensors.points, [low, high]]), grid)
    field = sum((k + 2) * x for k, x in enumerate(np.meshgrid(*grid.coordinates(), indexing="ij")))
    expected = sensors.points @ (np.arange(grid.num_dims) + 2)
    found = compiled(lambda u: sensors(u), jnp.asarray(np.stack([field, 1 - field])))
    np.testing.assert_allclose(found, np.stack([expected, 1 - expected]), atol=1e-14)


def test_points_of_the_grid_are_read_as_they_are(compiled):
    grid = GRIDS["ends included"]
    field = np.random.default_rng(0).normal(size=(1, 5, 7))
    points = np.stack([x.ravel() for x in np.meshgrid(*grid.coordinates(), indexing="ij")], 1)
    np.testing.assert_allclose(compiled(lambda u: Sensors(points, grid)(u)[0], jnp.asarray(field)), field.ravel(), atol=1e-13)


def test_second_order_on_periodic_axes_also_across_the_end(compiled):
    points, errors = np.linspace(0, 1, 101)[:, None], []
    for n in (16, 32, 64):
        grid = Grid((n,), boundary=("periodic",))
        wave = jnp.asarray(np.sin(2 * np.pi * grid.coordinates()[0])[None])
        read = compiled(lambda u: Sensors(points, grid)(u)[0], wave)  # noqa: B023
        errors.append(np.abs(read - np.sin(2 * np.pi * points[:, 0])).max())
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([2, 2], abs=0.1)


@pytest.mark.parametrize("name", GRIDS)
def test_adjoint_identity(name, compiled):
    grid = GRIDS[name]
    sensors = random_sensors(grid, 9, key=jax.random.key(2))
    random = np.random.default_rng(3)
    u, d = random.normal(size=(2, *grid.shape)), random.normal(size=(2, 9))
    every = lambda u, d: (sensors(u), sensors.adjoint(d), jax.grad(lambda u: jnp.vdot(sensors(u), d))(u))
    seen, spread, slope = compiled(every, jnp.asarray(u), jnp.asarray(d))
    assert abs(np.vdot(seen, d) - np.vdot(u, spread)) < 1e-13 * np.linalg.norm(u) * np.linalg.norm(d)
    np.testing.assert_allclose(slope, spread, atol=1e-14)


def test_type_follows_the_field():
    sensors = random_sensors(GRIDS["line"], 3, key=jax.random.key(0))
    assert jax.eval_shape(lambda u: sensors(u), jax.ShapeDtypeStruct((1, 6), jnp.float32)).dtype == jnp.float32


def test_noise_has_the_deviation_that_it_states(compiled):
    values = np.sin(np.arange(20000.0))[None]
    noisy, deviation = compiled(lambda v, key: add_noise(v, 0.03, key=key), jnp.asarray(values), jax.random.key(0))
    assert deviation == pytest.approx(0.03 * np.sqrt(0.5), rel=1e-3)
    assert np.std(noisy - values) == pytest.approx(float(deviation), rel=0.02)


def test_what_is_refused():
    grid = GRIDS["ends included"]
    with pytest.raises(ConfigError, match=r"1 of 2 sensors lie outside .* at \(2.5, 0\)"):
        Sensors(np.asarray([[1.0, 0.0], [2.5, 0.0]]), grid)
    with pytest.raises(ConfigError, match="lie outside"):
        Sensors(np.asarray([[np.nan, 0.0]]), grid)
    with pytest.raises(ConfigError, match=r"must have shape \(sensors, 2\), got \(4, 1\)"):
        Sensors(np.zeros((4, 1)), grid)
    with pytest.raises(ConfigError, match="two points per axis"):
        Sensors(np.zeros((4, 1)), Grid((1,)))
    with pytest.raises(ModelInputError, match=r"\(channels, 5, 7\), got \(1, 7, 5\)"):
        random_sensors(grid, 3, key=jax.random.key(0))(jnp.ones((1, 7, 5)))
    with pytest.raises(ConfigError, match="at least 1"):
        random_sensors(grid, 0, key=jax.random.key(0))
    with pytest.raises(ConfigError, match="must be positive, got 0.0"):
        add_noise(jnp.ones((1, 3)), 0.0, key=jax.random.key(0))
