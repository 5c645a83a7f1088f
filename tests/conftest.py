"""Double precision, no silent promotion, no pictures on a screen, however the tests are run."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def getkey():
    """A source of fresh random keys, the same ones in every run."""
    key = jax.random.key(0)

    def draw():
        nonlocal key
        key, fresh = jax.random.split(key)
        return fresh

    return draw
