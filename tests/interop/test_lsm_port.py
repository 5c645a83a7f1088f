import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import CheckpointError, ConfigError, ModelInputError
from neuralop_jax.interop import from_torch
from neuralop_jax.interop._lsm import _distances
from neuralop_jax.layers import Buffer
from neuralop_jax.models import LSM, count_parameters

from .golden_cases import golden
from .lsm_cases import named, network, state

OUTPUTS = pathlib.Path(__file__).with_name("lsm_outputs.npz")
"""Every so many values of the outputs of the original for the weights of `released`, which a formula gives."""
SHAPES = {2: (21, 14), 3: (9, 16, 6)}
CONFIG = {"in_dim": 2, "out_dim": 1, "d_model": 8, "num_token": 3, "num_basis": 5}
PATCHES = {
    2: {"patch_size": "3,2", "padding": "18,27"},
    3: {"patch_size": "1,1,1", "padding": "10,16,7"},
}


def names_and_shapes(dims):
    return network(dims) | named({"fc0": (8, 2 + dims)})


def released(dims, **config):
    return from_torch("lsm", CONFIG | PATCHES[dims] | config, state(names_and_shapes(dims)))


@pytest.mark.parametrize("dims, mode", [(2, "eval"), (2, "train"), (3, "eval")])
def test_the_released_networks_return_the_numbers_of_the_original(dims, mode):
    ported = released(dims, train_mode=mode == "train")
    x = jnp.cos(2.3 * jnp.arange(4.0 * np.prod(SHAPES[dims]))).reshape(2, *SHAPES[dims], 2)
    y = np.asarray(eqx.filter_jit(ported)(x=x)).ravel()
    with np.load(OUTPUTS, allow_pickle=False) as outputs:
        wanted = outputs[f"{dims}_{mode}"]
    np.testing.assert_allclose(y[:: max(1, y.size // 200)], wanted, atol=1e-6 * wanted.std())


def test_statistics_of_the_population_are_buffers():
    ported = released(2)
    buffers = jax.tree.leaves(ported, is_leaf=lambda leaf: isinstance(leaf, Buffer))
    untrained = sum(leaf.value.size for leaf in buffers if isinstance(leaf, Buffer))
    shapes = names_and_shapes(2)
    running = sum(int(np.prod(shape)) for name, shape in shapes.items() if "running" in name)
    assert untrained == running
    assert count_parameters(ported) == sum(int(np.prod(shape)) for shape in shapes.values()) - running


def test_distances_to_a_coarse_grid():
    table = _distances((3, 2), 2)
    np.testing.assert_allclose(table[0], [0, 1, 1, 2**0.5])
    np.testing.assert_allclose(table[3], [1.25**0.5, 0.5, 1.25**0.5, 0.5])


def test_a_network_of_the_library_with_values_and_without_points():
    """`unified_pos` puts the distances in the place of the points, before the values."""
    case = golden("lsm/library_1d_instance")
    state = dict(case.state)
    state["preprocess.linear_pre.0.weight"] = np.ones((4, 3 + 2))
    ported = from_torch("lsm", case.config | {"unified_pos": 1, "ref": 3, "fun_dim": 2}, state)
    assert isinstance(ported.model, LSM) and ported.model.in_channels == 5
    for ref in (1, 3):
        state["preprocess.linear_pre.0.weight"] = np.ones((4, ref))
        alone = from_torch("lsm", case.config | {"unified_pos": 1, "ref": ref}, state)
        assert f"({ref}) are distances" in alone.difference
    with pytest.raises(ModelInputError, match="do not fit"):
        ported(x=jnp.ones((2, 32, 1)))


@pytest.mark.parametrize(
    "config, words",
    [
        ({"bilinear": False}, "bilinear=False is not supported"),
        ({"padding": "0,4"}, "crops an axis without padding to nothing"),
        ({"patch_size": "3"}, "model must be one of"),
        ({"padding": "a,b"}, "padding must be whole numbers"),
        ({"padding": "-1,2"}, "must not be negative"),
        ({"num_tokens": 4}, "unknown option 'num_tokens'. Did you mean 'num_token'"),
        ({"n_hidden": 2, "shapelist": (32,)}, "unknown option"),
    ],
)
def test_configurations_that_cannot_be_equal(config, words):
    with pytest.raises(ConfigError, match=words):
        from_torch("lsm", CONFIG | PATCHES[2] | config, {})


@pytest.mark.parametrize(
    "config, words",
    [
        ({"geotype": "unstructured"}, "geotype 'unstructured'"),
        ({"time_input": True}, "time_input is not supported"),
        ({"shapelist": (33,)}, "multiple of 16"),
        ({"shapelist": (32, 33)}, "crops an axis without padding"),
        ({"act": "leaky_relu"}, "act must be one of"),
    ],
)
def test_configurations_of_the_library_that_cannot_be_equal(config, words):
    with pytest.raises(ConfigError, match=words):
        from_torch("lsm", {"n_hidden": 2, "n_heads": 2, "geotype": "structured_1D", "shapelist": (32,)} | config, {})


def test_what_does_not_fit_is_refused():
    with pytest.raises(CheckpointError, match="missing fc0.weight"):
        from_torch("lsm", CONFIG | PATCHES[2], {})
    with pytest.raises(ModelInputError, match=r"wanted \(batch, x, y, 2\)"):
        released(2)(x=jnp.ones((2, 21, 14, 3)))
    with pytest.raises(ModelInputError, match="do not divide"):
        released(2)(x=jnp.ones((2, 20, 14, 2)))
