import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import CheckpointError, ConfigError, ModelInputError
from neuralop_jax.interop import from_torch
from neuralop_jax.models import count_parameters

from .golden_cases import golden

SPLIT, POD = "deeponet/split_trunk_listed_activations", "deeponet/pod_with_trunk"


def port(name, **changes):
    case = golden(name)
    return from_torch(case.family, {**case.config, **changes}, case.state), case


def test_native_operator_is_the_ported_network():
    ported, case = port(SPLIT)
    branch, trunk = (jnp.asarray(case.inputs[name]) for name in ("branch", "trunk"))
    native = eqx.filter_jit(lambda m: m.batched(branch[:, None], y=trunk))(ported.model)
    np.testing.assert_allclose(jnp.moveaxis(native, 1, 2), case.y, rtol=1e-6, atol=1e-9)
    assert count_parameters(ported.model) == case.parameters


def test_adaptive_slope_is_part_of_the_weights():
    ported, case = port("deeponet/split_branch_adaptive_trunk")
    slope, layer = 10 * case.state["activation_trunk.a"], ported.model.trunks[0].layers[0]
    np.testing.assert_allclose(layer.weight, slope * case.state["trunk.linears.0.weight"], rtol=1e-12)
    assert ported.model.trunk_activation == "relu" and count_parameters(ported.model) == case.parameters - 1


def test_modes_are_not_trained_and_shared_by_all_functions():
    ported, case = port(POD)
    basis = np.asarray(case.config["pod_basis"], np.float32)
    np.testing.assert_array_equal(ported.model.modes.modes[0], basis.T)
    branch, trunk = (jnp.asarray(case.inputs[name]) for name in ("branch", "trunk"))
    native = eqx.filter_jit(lambda m: m.batched(branch[:, None], y=trunk))(ported.model)
    np.testing.assert_allclose(native[:, 0], case.y, rtol=1e-6, atol=1e-9)
    assert not jnp.any(ported.model.modes.mean)
    sizes = [case.state[name].size for name in case.state if ".linears." in name or name == "b"]
    assert count_parameters(ported.model) == sum(sizes)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (SPLIT, {"cls": "DeepONets"}, "cls must be one of .* Did you mean 'DeepONet'"),
        (SPLIT, {"cls": "PODDeepONet"}, "unknown option 'num_outputs'"),
        (SPLIT, {"num_outputs": 1}, "refused by the original; a strategy is for two or more outputs"),
        (SPLIT, {"multi_output_strategy": "split_both"}, "do not match for 3 outputs with 'split_both'"),
        (SPLIT, {"multi_output_strategy": "split"}, "multi_output_strategy must be one of"),
        (SPLIT, {"kernel_initializer": "Glorot"}, "kernel_initializer must be one of"),
        (SPLIT, {"layer_sizes_branch": (3, "network")}, "layer_sizes_branch must be a list of two or more positive integers"),
        (SPLIT, {"activation": {"branch": ["relu"], "trunk": "elu"}}, r"activation\['branch'\] must name 2 activations"),
        (SPLIT, {"activation": {"branch": "relu"}}, "activation must have the entries branch and trunk"),
        (SPLIT, {"activation": ["relu", "relu"]}, "an activation must be a name"),
        (SPLIT, {"activation": "rleu"}, "activation must be one of .* Did you mean 'relu'"),
        (SPLIT, {"activation": "LAAF10 relu"}, "is written 'LAAF-10 tanh'"),
        (POD, {"pod_basis": [[1.0, 2.0]]}, "must end in the number of modes and trunk outputs; pod_basis has shape"),
    ],
)
def test_what_cannot_be_equal_is_refused(name, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        port(name, **changes)
    assert "\n" not in str(caught.value)


def test_options_without_effect_on_the_values_are_read():
    ported, case = port(
        SPLIT, kernel_initializer="He uniform", regularization=["l2", 1e-3], dropout_rate={"branch": 0.1, "trunk": 0}
    )
    assert ported.model.initializer == "he_uniform"
    y = ported(**{name: jnp.asarray(value) for name, value in case.inputs.items()})
    np.testing.assert_allclose(y, case.y, rtol=1e-6, atol=1e-9)


def test_wrong_state_and_wrong_layout_are_refused():
    case = golden(SPLIT)
    with pytest.raises(CheckpointError, match="missing b.2"):
        from_torch(case.family, case.config, {name: value for name, value in case.state.items() if name != "b.2"})
    ported, trunk = port(SPLIT)[0], jnp.asarray(case.inputs["trunk"])
    with pytest.raises(ModelInputError, match=r"wanted \(batch, 3\)"):
        ported(branch=jnp.ones((2, 4)), trunk=trunk)
    with pytest.raises(ModelInputError, match="trunk .* given, wanted"):
        ported(branch=jnp.ones((2, 3)), trunk=trunk.T[:1])
