import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import CheckpointError, ConfigError
from neuralop_jax.interop import from_torch

from .golden_cases import NAMES, golden


def relative(a, b):
    return float(np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b))


@pytest.mark.parametrize("name", NAMES)
def test_ported_network_returns_the_numbers_of_the_original(name):
    case = golden(name)
    ported = from_torch(case.family, case.config, case.state)

    @eqx.filter_jit
    def evaluate(ported, inputs):
        y, pull_back = jax.vjp(lambda v: ported(**{**inputs, case.first: v}), inputs[case.first])
        return y, pull_back(y)[0]

    y, gradient = evaluate(ported, {name: jnp.asarray(value) for name, value in case.inputs.items()})
    assert relative(y, case.y) < 2e-6
    assert relative(gradient, case.gradient) < 1e-5


@pytest.mark.parametrize("name", ["neuraloperator_fno/fno2d_everything", "classic_fno/padded"])
def test_all_parameters_of_the_original_are_leaves(name):
    case = golden(name)
    ported = from_torch(case.family, case.config, case.state)
    assert sum(leaf.size for leaf in jax.tree.leaves(ported.model)) == case.parameters


@pytest.mark.parametrize("name", ["neuraloperator_fno/fno2d_skips", "classic_fno/blocks_overlap"])
def test_precision_follows_the_state_dict(name):
    for double, dtype, bound in ((False, jnp.float32, 1e-5), (True, jnp.float64, 2e-6)):
        case = golden(name, double)
        ported = from_torch(case.family, case.config, case.state)
        assert {leaf.dtype for leaf in jax.tree.leaves(ported)} == {jnp.dtype(dtype)}
        y = eqx.filter_jit(ported)(x=jnp.asarray(case.x))
        assert y.dtype == dtype
        assert relative(y, case.y) < bound


def test_weights_can_be_trained_through_the_original_index_rules():
    case = golden("neuraloperator_fno/fno2d_coarse_odd")
    ported, x = from_torch(case.family, case.config, case.state), jnp.asarray(case.x)

    @eqx.filter_jit
    def loss(ported):
        return 0.5 * jnp.sum(ported(x=x) ** 2)

    gradient = eqx.filter_grad(loss)(ported)
    direction = jax.tree.map(jnp.cos, eqx.filter(ported, eqx.is_array))
    slope = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))

    def moved(by):
        return eqx.apply_updates(ported, jax.tree.map(lambda d: by * d, direction))

    np.testing.assert_allclose((loss(moved(1e-6)) - loss(moved(-1e-6))) / 2e-6, slope, rtol=1e-6)


def test_array_likes_and_the_metadata_entry_are_accepted():
    class Tensor:  # what numpy sees of a PyTorch tensor
        def __init__(self, value):
            self.value = value

        def __array__(self, dtype=None, copy=None):
            return self.value

    case = golden("neuraloperator_fno/fno1d_coarse")
    state = {name: Tensor(value) for name, value in case.state.items()} | {"_metadata": {"_name": "FNO"}}
    assert relative(from_torch(case.family, case.config, state)(x=jnp.asarray(case.x)), case.y) < 2e-6


def refusal(error, family, config, state):
    with pytest.raises(error) as caught:
        from_torch(family, config, state)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_family_and_option_are_refused_with_the_nearest_name():
    assert "Did you mean 'classic_fno'?" in refusal(ConfigError, "clasic_fno", {}, {})
    case = golden("neuraloperator_fno/fno2d_skips")
    said = refusal(ConfigError, case.family, case.config | {"hiden_channels": 4}, case.state)
    assert "unknown option 'hiden_channels'. Did you mean 'hidden_channels'?" in said
    config = {key: value for key, value in case.config.items() if key != "n_modes"}
    assert "lacks n_modes" in refusal(ConfigError, case.family, config, case.state)


def test_state_dict_that_does_not_fit_is_refused_by_name():
    case = golden("neuraloperator_fno/fno2d_skips")
    state = dict(case.state)
    state["extra.weight"] = state.pop("projection.fcs.0.bias")
    state["lifting.fcs.0.bias"] = state["lifting.fcs.0.bias"][:-1]
    said = refusal(CheckpointError, case.family, case.config, state)
    assert "missing projection.fcs.0.bias" in said
    assert "unexpected extra.weight" in said
    assert "wrong shape lifting.fcs.0.bias (7,), wanted (8,)" in said


def test_entries_that_hold_no_numbers_are_refused():
    case = golden("neuraloperator_fno/fno2d_skips")
    said = refusal(CheckpointError, case.family, case.config, case.state | {"lifting.fcs.0.bias": np.array(["a"] * 8)})
    assert "lifting.fcs.0.bias holds <U1" in said
    said = refusal(CheckpointError, case.family, case.config, case.state | {"lifting.fcs.0.bias": np.full(8, 1j)})
    assert "lifting.fcs.0.bias" in said and "real" in said
    said = refusal(CheckpointError, case.family, case.config, case.state | {"lifting.fcs.0.bias": np.full(8, np.nan)})
    assert "NaN or infinite lifting.fcs.0.bias" in said


def test_a_common_prefix_of_all_names_is_pointed_out():
    case = golden("neuraloperator_fno/fno2d_skips")
    behind = {f"module.{name}": value for name, value in case.state.items()}
    assert "behind 'module.': give it as prefix" in refusal(CheckpointError, case.family, case.config, behind)
    assert "prefix" not in refusal(CheckpointError, case.family, case.config, dict(list(behind.items())[1:]))
