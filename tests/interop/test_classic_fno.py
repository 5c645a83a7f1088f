import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop import from_torch

from .golden_cases import golden


def both(name, shape):
    """The outputs of the ported callable and of the native operator, both channels-last, on a random batch."""
    case = golden(name)
    ported = from_torch(case.family, case.config, case.state)
    x = jax.random.normal(jax.random.key(0), (2, *shape, case.config["in_dim"]), jnp.float64)

    @eqx.filter_jit
    def evaluate(ported, x):
        return ported(x=x), jnp.moveaxis(jax.vmap(ported.model)(jnp.moveaxis(x, -1, 1)), 1, -1)

    return evaluate(ported, x)


@pytest.mark.parametrize("shape", [(8, 8), (9, 6), (13, 11)])
def test_native_operator_agrees_where_the_blocks_do_not_overlap(shape):
    ported, native = both("classic_fno/blocks_overlap", shape)
    np.testing.assert_allclose(ported, native, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("points", [4, 5, 7])
def test_native_operator_differs_where_the_blocks_overlap(points):
    ported, native = both("classic_fno/blocks_overlap", (points, 8))
    assert np.linalg.norm(ported - native) > 1e-4 * np.linalg.norm(native)


@pytest.mark.parametrize("shape", [(3, 8), (8, 5)])
def test_grid_on_which_the_original_fails_is_refused(shape):
    with pytest.raises(ModelInputError, match="use .model"):
        both("classic_fno/blocks_overlap", shape)


@pytest.mark.parametrize(
    ("padding", "said"), [("0,4", "two positive numbers or two zeros"), ("a,b", "two whole numbers"), (None, "None")]
)
def test_padding_that_the_original_cannot_do_is_refused(padding, said):
    case = golden("classic_fno/one_mode")
    with pytest.raises(ConfigError, match=said):
        from_torch(case.family, case.config | {"padding": padding}, case.state)


def test_input_of_another_layout_is_refused():
    case = golden("classic_fno/padded")
    ported = from_torch(case.family, case.config, case.state)
    for x in (case.x[0], np.moveaxis(case.x, -1, 1)):
        with pytest.raises(ModelInputError, match=r"wanted \(batch, x, y, 3\)"):
            ported(x=jnp.asarray(x))
