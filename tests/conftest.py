"""Double precision, no silent promotion, no pictures on a screen, however the tests are run."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Every compiled program takes places in the table of memory maps, of which Linux gives a process 65,530: the suite needs more."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def getkey():
    """A source of fresh random keys, the same ones in every run."""
    key = jax.random.key(0)

    def draw():
        nonlocal key
        key, fresh = jax.random.split(key)
        return fresh

    return draw
