"""Tuning a Tikhonov weight by hypergradients against a grid of ten points, at equal numbers of solver calls."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import scipy.linalg

from neuralop_jax.implicit import custom_root, hypergradient, stationary

POINTS = np.arange(64) / 64
SLOPE = jnp.asarray(6.4 * (np.roll(np.eye(64), 1, axis=1) - np.eye(64)))
LOWEST, HIGHEST = np.log(1e-8), np.log(1.0)  # of the logarithm of the weight


def deblurring(seed):
    """Four periodic signals, blurred by a Gaussian of 2 to 6% of the period, with noise of 0.1 to 10%."""
    random = np.random.default_rng(seed)
    waves = [w(2 * np.pi * k * POINTS) / k for k in range(1, 9) for w in (np.sin, np.cos)]
    clean = np.stack(waves, 1) @ random.normal(size=(16, 4))
    width, noise = random.uniform(0.02, 0.06), 10 ** random.uniform(-3, -1)
    distance = np.abs(POINTS[:, None] - POINTS)
    blur = np.exp(-(np.minimum(distance, 1 - distance) ** 2) / 2 / width**2)
    blur = blur / blur.sum(1, keepdims=True)
    return tuple(map(jnp.asarray, (blur, blur @ clean + noise * random.normal(size=clean.shape), clean)))


CALLS = []


def solve(blur, right, weight):
    """The normal equations by SciPy; every call is counted, whoever makes it."""
    CALLS.append(weight)
    blur, slope = np.asarray(blur), np.asarray(SLOPE)
    return scipy.linalg.solve(blur.T @ blur + np.exp(weight) * slope.T @ slope, np.asarray(right), assume_a="pos")


class Adjoint(lx.AbstractLinearSolver):
    """The same for the linear system of the hypergradient."""

    blur: jax.Array
    weight: jax.Array

    def init(self, operator, options):
        return operator

    def compute(self, state, vector, options):
        flat = lambda blur, b, weight: solve(blur, b.reshape(64, 4), weight).ravel()
        return jax.pure_callback(flat, vector, self.blur, vector, self.weight), lx.RESULTS.successful, {}

    def transpose(self, state, options):
        return state, options

    conj = transpose

    def assume_full_rank(self):
        return True


def regularized(x, weight, blur, data):
    return jnp.sum((blur @ x - data) ** 2) / 2 + jnp.exp(weight) * jnp.sum((SLOPE @ x) ** 2) / 2


@jax.jit
def at_minimum(x, weight, blur, data, clean):
    """The logarithm of the mean square error, and its derivative by that of the weight."""
    error = lambda x, weight: jnp.log(jnp.sum((x - clean) ** 2) / jnp.sum(clean**2))
    inner = lambda x, weight: regularized(x, weight, blur, data)
    return hypergradient(error, inner, x, weight, linear_solver=Adjoint(blur, weight))


def evaluated(problem, weight):
    """Loss and slope by two solves, of the problem and of its adjoint."""
    blur, data, _ = problem
    return at_minimum(solve(blur, blur.T @ data, weight), weight, *problem)


def cubic(a, b):
    """Where the cubic with given (place, value, slope) at two places is least."""
    (a, at_a, down), (b, at_b, up) = a, b
    mean = down + up - 3 * (at_a - at_b) / (a - b)
    root = np.sqrt(mean**2 - down * up)
    return b - (b - a) * (up + root - mean) / (up - down + 2 * root)


def tuned(problem, evaluations):
    """From the middle of the interval down by a quarter of it until the slope changes its sign, then by cubics between."""
    w, left, right, losses = (LOWEST + HIGHEST) / 2, None, None, []
    for _ in range(evaluations):
        loss, slope = (float(found) for found in evaluated(problem, w))
        losses.append(loss)
        left, right = (left, (w, loss, slope)) if slope > 0 else ((w, loss, slope), right)
        w = cubic(left, right) if left and right else w - np.sign(slope) * (HIGHEST - LOWEST) / 4
    return min(losses)


def test_hypergradients_beat_the_grid_on_every_problem():
    """Real run (f): five losses with slopes, ten solves, and a grid of ten points over the same interval, ten solves."""
    ratios = []
    for seed in range(8):
        problem = blur, data, clean = deblurring(seed)
        CALLS.clear()
        errors = [np.sum((solve(blur, blur.T @ data, w) - clean) ** 2) for w in np.linspace(LOWEST, HIGHEST, 10)]
        assert len(CALLS) == 10
        found = np.exp(tuned(problem, 5))
        assert len(CALLS) == 20
        ratios.append(found / min(errors) * np.sum(clean**2))
    assert max(ratios) < 1 and np.exp(np.mean(np.log(ratios))) < 0.9, ratios


def test_the_slope_is_that_of_the_loss():
    """And the decorator around the same solver gives it, too."""
    problem = blur, data, clean = deblurring(0)
    slope = evaluated(problem, -9.0)[1]
    central = (evaluated(problem, -9.0 + 1e-4)[0] - evaluated(problem, -9.0 - 1e-4)[0]) / 2e-4
    assert abs(slope - central) < 1e-7

    @custom_root(stationary(regularized), linear_solver=lx.CG(1e-12, 1e-12), tags=lx.positive_semidefinite_tag, host=True)
    def minimized(start, weight, blur, data):
        return solve(blur, blur.T @ data, weight)

    error = lambda weight: jnp.log(jnp.sum((minimized(jnp.zeros((64, 4)), weight, blur, data) - clean) ** 2))
    assert abs(jax.jit(jax.grad(error))(-9.0) - slope) < 1e-8
