"""Fields of any magnitude are solved alike, in single precision too."""

import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import _elliptic, solve_darcy

SQUARE = Grid((17, 17), boundary=("dirichlet", "dirichlet"))
ONE = jnp.ones((1, 17, 17), jnp.float32)


@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e30])
def test_tiny_and_huge_sources(scale):
    u = solve_darcy(ONE, scale * ONE, SQUARE, rtol=1e-5).value
    np.testing.assert_allclose(u / scale, solve_darcy(ONE, ONE, SQUARE, rtol=1e-5).value, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_tiny_and_huge_permeabilities(scale):
    u = solve_darcy(scale * ONE, ONE, SQUARE, rtol=1e-5).value
    np.testing.assert_allclose(u * scale, solve_darcy(ONE, ONE, SQUARE, rtol=1e-5).value, rtol=1e-4, atol=1e-7)


def test_batches_and_half_precision_are_refused():
    fields = {"permeability": ONE, "source": ONE, "reaction": jnp.ones((5, 17, 17)), "boundary_values": None}
    with pytest.raises(ConfigError, match=r"reaction must be .*, got float64 \(5, 17, 17\)\. Map over samples"):
        _elliptic._check(fields, SQUARE, "harmonic")
    with pytest.raises(ConfigError, match="permeability must be float32 or float64 .* got float16"):
        solve_darcy(ONE.astype(jnp.float16), ONE, SQUARE)
    with pytest.raises(ConfigError, match="rtol must be between 0 and 1 and max_steps at least 1, got 2.0 and 100"):
        solve_darcy(ONE, ONE, SQUARE, rtol=2.0)
