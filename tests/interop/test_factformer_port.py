import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import CheckpointError, ConfigError, ModelInputError
from neuralop_jax.interop import from_torch
from neuralop_jax.models import count_parameters

from .golden_cases import golden


def port(name, **changes):
    case = golden(f"factformer/{name}")
    return case, from_torch("factformer", case.config | changes, case.state)


@pytest.mark.parametrize("name", ["block3d_without_rope", "darcy_odd", "isotropic", "smoke_padded"])
def test_trained_numbers_are_those_of_the_original(name):
    case, ported = port(name)
    assert count_parameters(ported) == case.parameters


def test_native_operator_agrees_on_the_coordinates_of_the_original():
    """The published grid of Darcy flow has both ends of the unit box, as the operator's own coordinates do."""
    case, ported = port("darcy_odd")
    model = eqx.filter_jit(ported.model.batched)
    v = jnp.moveaxis(model(jnp.moveaxis(jnp.asarray(case.x), -1, 1)), 1, -1)
    assert np.linalg.norm(v - case.y) < 1e-5 * np.linalg.norm(case.y)  # coordinates of the original are in single precision


def test_frames_are_stacked_oldest_first():
    case, ported = port("isotropic")
    channels, frames = case.x.shape[1:3]
    axes = [jnp.asarray(case.others[f"pos_{a}"])[:, 0] for a in "xyz"]
    u = jnp.asarray(case.x[0]).swapaxes(0, 1).reshape(frames * channels, *case.x.shape[3:])
    v = eqx.filter_jit(ported.model.at)(u, axes)
    wanted = np.moveaxis(case.y[0], -1, 1).reshape(v.shape)
    assert np.linalg.norm(v - wanted) < 1e-10 * np.linalg.norm(wanted)


def test_inputs_on_which_the_original_fails_are_refused():
    _, darcy = port("darcy_odd")
    with pytest.raises(ModelInputError, match="resolution 9 only"):
        darcy(x=jnp.ones((1, 7, 7, 1)), pos_x=jnp.ones((7, 1)), pos_y=jnp.ones((7, 1)))
    with pytest.raises(ModelInputError, match=r"wanted x as \(batch, \*space, 1\) and positions on 2 axes, got \(1, 9, 9, 2\)"):
        darcy(x=jnp.ones((1, 9, 9, 2)), pos_x=jnp.ones((9, 1)), pos_y=jnp.ones((9, 1)))
    case, smoke = port("smoke_padded")
    odd = {f"pos_{a}": jnp.ones((4, 1)) for a in "xyz"}
    with pytest.raises(ModelInputError, match="even numbers of points"):
        smoke(x=jnp.ones((1, *case.x.shape[1:3], 3, 3, 3)), **odd)
    _, block = port("block3d_without_rope")
    with pytest.raises(ModelInputError, match="positions on 3 axes, got .* positions on 2"):
        block(x=jnp.ones((1, 4, 4, 6)), pos_x=jnp.ones((4, 1)), pos_y=jnp.ones((4, 1)))


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("darcy_odd", {"latnt": 1}, "unknown option 'latnt'"),
        ("isotropic", {"latent_steps": 3}, "max_latent_steps 2 is less than latent_steps 3"),
        ("smoke_padded", {"latent_multiplier": 1.5}, "groups need a multiple of 8 channels"),
        ("block3d_without_rope", {"use_rope": True}, "which is odd"),
    ],
)
def test_options_that_cannot_be_ported(name, changes, words):
    with pytest.raises(ConfigError, match=words):
        port(name, **changes)


def test_state_of_another_configuration_is_refused():
    with pytest.raises(CheckpointError, match=r"missing encoder.layers.1"):
        port("darcy_odd", depth=2)
    with pytest.raises(CheckpointError, match=r"unexpected down_block"):
        case = golden("factformer/smoke_padded")
        from_torch("factformer", {key: value for key, value in case.config.items() if key != "padding"}, case.state)


def test_precision_follows_the_state_dict_of_a_factformer():
    case = golden("factformer/darcy_odd", double=False)
    ported = from_torch("factformer", case.config, case.state)
    assert {leaf.dtype for leaf in jax.tree.leaves(ported)} == {jnp.dtype(jnp.float32)}
    y = eqx.filter_jit(ported)(x=jnp.asarray(case.x), **{key: jnp.asarray(value) for key, value in case.others.items()})
    assert y.dtype == jnp.float32 and np.linalg.norm(y - case.y) < 1e-4 * np.linalg.norm(case.y)
