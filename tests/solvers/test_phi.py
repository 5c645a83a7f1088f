import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.solvers import phi_functions


def exact(k, z):
    """The power series in rational arithmetic."""
    total, term = Fraction(0), Fraction(1, math.factorial(k))
    for j in range(200):
        total += term
        term = term * Fraction(z) / (j + k + 1)
    return float(total)


@pytest.mark.parametrize("z", [0.0, 1e-12, -1e-5, 0.3, -0.999, -1.001, 1.5, -7.0, -30.0])
def test_against_rational_arithmetic(z):
    found = phi_functions(np.array([z]), 4)
    for k, values in enumerate(found):
        np.testing.assert_allclose(values, exact(k, z), rtol=2e-14)


def test_large_negative_arguments_decay():
    one, two = phi_functions(np.array([-1e8]), 3)[1:]
    np.testing.assert_allclose([one[0], two[0]], [1e-8, 1e-8], rtol=1e-7)


def test_complex_and_traced_arguments():
    z = np.array([0.5j, 3j, -2 + 1j])
    found = phi_functions(z, 2)
    np.testing.assert_allclose(found[1], (np.exp(z) - 1) / z, rtol=1e-14)
    traced = jax.jit(lambda z: phi_functions(z, 4))(jnp.asarray(z))
    for a, b in zip(traced, phi_functions(z, 4)):
        np.testing.assert_allclose(a, b, rtol=1e-13)
