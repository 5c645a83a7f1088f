"""Permeabilities through the solver and through an operator: the gradient, its memory, and what is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data import GaussianRandomField
from neuralop_jax.evaluation._unrolled import unrolled_darcy
from neuralop_jax.grids import Grid
from neuralop_jax.inverse import DarcyPressure, Sensors, Tikhonov, add_noise, invert, random_sensors
from neuralop_jax.models import FNO
from neuralop_jax.solvers import solve_darcy

LAW = GaussianRandomField(31.0, 3.0, 3.0, boundary="neumann")
"""Of the logarithm of the permeability: a deviation of 0.6."""


def square(n):
    return Grid((n, n), boundary=("dirichlet", "dirichlet"))


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


@pytest.fixture(scope="module")
def problem(compiled):
    """100 sensors with 5 % noise on 33 x 33 points, read from a solve with half the spacing: grid, field, sensors, data, noise."""
    grid, fine = square(33), square(65)
    keys = jax.random.split(jax.random.key(0), 3)
    sensors = random_sensors(grid, 100, key=keys[1])

    def measured(field_key, noise_key):
        field = LAW.sample(fine, key=field_key)
        exact = Sensors(sensors.points, fine)(solve_darcy(jnp.exp(field), jnp.ones_like(field), fine).value)
        return field[:, ::2, ::2], *add_noise(exact, 0.05, key=noise_key)

    field, data, noise = map(jnp.asarray, compiled(measured, keys[0], keys[2]))
    return grid, field, sensors, data, noise


def test_gradient_of_the_misfit_against_differences_and_taylor(problem, compiled):
    grid, field, sensors, data, noise = problem
    pressure = DarcyPressure(jnp.asarray(np.ones((1, *grid.shape))), grid, rtol=1e-13)
    misfit = jax.jit(lambda m: 0.5 * jnp.sum(((sensors(pressure(jnp.exp(m))) - data) / noise) ** 2))
    at = 0.5 * np.asarray(field)
    value = lambda m: float(misfit(jnp.asarray(m)))
    gradient = compiled(jax.grad(misfit), jnp.asarray(at))
    law = GaussianRandomField(3.0, 3.0, 2.0, boundary="neumann")
    for direction in compiled(
        lambda keys: [law.sample(grid, key=key) for key in keys], [jax.random.key(seed) for seed in range(3)]
    ):
        slope = np.vdot(gradient, direction)
        h = 3e-4
        differences = [(value(at + k * h * direction) - value(at - k * h * direction)) / (2 * k * h) for k in (1, 2)]
        difference = (4 * differences[0] - differences[1]) / 3
        assert abs(difference - slope) < 1e-6 * abs(slope)
        steps = 0.1 * 0.5 ** np.arange(5)
        remainders = [abs(value(at + t * direction) - value(at) - t * slope) for t in steps]
        orders = np.log2(np.divide(remainders[:-1], remainders[1:]))
        assert ((orders[2:] > 1.95) & (orders[2:] < 2.05)).all(), orders


def test_memory_of_the_gradient_against_unrolled_conjugate_gradients(problem, compiled):
    """The same preconditioner and number of iterations, with derivatives through every one of them."""
    grid, field, sensors, data, noise = problem
    source = jnp.asarray(np.ones((1, *grid.shape)))
    count = int(compiled(lambda m: solve_darcy(jnp.exp(m), source, grid, rtol=1e-10).num_steps, field))

    memory, gradients = [], []
    for pressure in (DarcyPressure(source, grid), lambda a: unrolled_darcy(a, source, grid, num_steps=count)):
        misfit = lambda m, pressure=pressure: 0.5 * jnp.sum(((sensors(pressure(jnp.exp(m))) - data) / noise) ** 2)
        program = jax.jit(jax.grad(misfit)).lower(field).compile()
        memory.append(program.memory_analysis().temp_size_in_bytes)
        gradients.append(np.asarray(program(field)))
    assert memory[1] > 5 * memory[0], memory
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6 * abs(gradients[0]).max())


def test_the_error_falls_with_every_step_to_a_third_of_that_of_the_prior_mean(problem):
    grid, field, sensors, data, noise = problem
    truth = np.exp(field)
    prior = Tikhonov(grid, order=3.0, weight=3.0**6 / 31.0**2, length=1 / 3)
    pressure = DarcyPressure(jnp.asarray(np.ones(field.shape)), grid)
    found = invert(pressure, data, sensors, prior, noise=noise, monitor=lambda m: m, rtol=3e-3)
    distance = np.linalg.norm(np.asarray(found.coefficient) - truth)
    assert 3.5 * distance < np.linalg.norm(1 - truth)
    fields = np.asarray(found.history.monitor)[: int(found.num_steps) + 1]  # a monitor may say a field
    np.testing.assert_array_equal(fields[-1], found.field)
    errors = np.linalg.norm((fields - np.asarray(field)[None]).reshape(len(fields), -1), axis=1) / np.linalg.norm(field)
    assert len(errors) > 20 and (np.diff(errors[:21]) < 0).all(), errors
    assert errors[-1] * 4 < errors[0] == 1
    assert 0.7 < rms((np.asarray(found.predicted) - np.asarray(data)) / np.asarray(noise)) < 1.1


def test_the_same_driver_with_an_operator_as_forward_model(compiled):
    grid = square(16)
    operator = FNO(in_channels=1, out_channels=1, n_modes=(4, 4), width=4, depth=1, key=jax.random.key(0))
    prior = Tikhonov(grid, order=2.0, length=1 / 3)
    sensors = random_sensors(grid, 60, key=jax.random.key(2))

    def measured(truth_key, noise_key):
        truth = prior.field(jax.random.normal(truth_key, (1, 16, 16)))
        return truth, *add_noise(sensors(operator(jnp.exp(truth))), 0.02, key=noise_key)

    truth, data, noise = map(jnp.asarray, compiled(measured, jax.random.key(1), jax.random.key(3)))
    error = lambda m: jnp.linalg.norm(m - truth) / jnp.linalg.norm(truth)
    found = invert(operator, data, sensors, prior, noise=noise, monitor=error, rtol=1e-3)
    assert rms((np.asarray(found.predicted) - np.asarray(data)) / np.asarray(noise)) < 1.1
    assert np.linalg.norm(np.asarray(found.field) - np.asarray(truth)) < 0.75 * np.linalg.norm(truth)
