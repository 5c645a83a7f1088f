"""F26: arrays that do not fit a model are refused when the call is traced: plain, under `jit` and under `vmap` with the same words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import FNO, TFNO
from neuralop_jax.errors import ModelInputError

MODELS = {
    "fno": lambda key: FNO(in_channels=3, out_channels=1, n_modes=(8, 8), width=4, depth=1, key=key),
    "tfno": lambda key: TFNO(in_channels=3, out_channels=1, n_modes=(8, 8), width=4, depth=1, rank=0.5, key=key),
}
CASES = {
    "batch axis": ((8, 3, 32, 32), jnp.float32, ["one sample", "rank 4", "Batch with jax.vmap(model)"]),
    "no channels": ((32, 32), jnp.float32, ["one sample", "rank 2", "Add the channel axis"]),
    "channels last": ((32, 32, 3), jnp.float32, ["expected 3 input channels on axis 0, got 32", "channels-last", "moveaxis"]),
    "channels": ((5, 32, 32), jnp.float32, ["expected 3 input channels on axis 0, got 5 in shape (5, 32, 32)"]),
    "integers": ((3, 32, 32), jnp.int32, ["expected a real floating array, got int32", "astype(jnp.float32)"]),
    "complex": ((3, 32, 32), jnp.complex64, ["expected a real floating array, got complex64", "complex_data=True"]),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param](jax.random.key(0))


@pytest.mark.parametrize("name", CASES)
def test_f26_wrong_arrays(model, name):
    shape, dtype, words = CASES[name]
    single, batch = (jax.ShapeDtypeStruct(axes, dtype) for axes in (shape, (2, *shape)))
    calls = (
        lambda: jax.eval_shape(model, single),
        lambda: jax.eval_shape(jax.jit(lambda u: model(u)), single),
        lambda: jax.eval_shape(jax.vmap(lambda u: model(u)), batch),
        lambda: jax.eval_shape(jax.grad(lambda u: model(u).sum()), single),
    )
    said = []
    for call in calls[: 3 if dtype in (jnp.int32, jnp.complex64) else 4]:
        with pytest.raises(ModelInputError) as error:
            call()
        said.append(str(error.value))
    assert len(set(said)) == 1 and "\n" not in said[0]
    assert all(word in said[0] for word in words), said[0]


@pytest.mark.parametrize("shape", [(33, 17), (31, 32), (9, 64), (5, 7), (4, 4)])
def test_f26_odd_and_coarse_grids_are_taken(model, shape):
    """Modes beyond the grid are cut off in use; a training grid that cannot carry them is refused when a run is set up."""
    assert jax.eval_shape(model, jax.ShapeDtypeStruct((3, *shape), jnp.float32)).shape == (1, *shape)


def test_f26_half_precision_is_transformed_in_single(model):
    """XLA has no transform of bfloat16."""
    u = np.random.default_rng(0).normal(size=(3, 16, 16))
    half = model(jnp.asarray(u, jnp.bfloat16))
    single = model(jnp.asarray(jnp.asarray(u, jnp.bfloat16), jnp.float32))
    assert half.dtype == jnp.bfloat16
    assert float(jnp.abs(half.astype(jnp.float32) - single).max() / jnp.abs(single).max()) < 0.05
