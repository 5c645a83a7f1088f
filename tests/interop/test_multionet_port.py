import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop import from_torch
from neuralop_jax.models import count_parameters

from .golden_cases import golden

SKIPPED, SEVERAL = "multionet/skipped_branch_layer", "multionet/several_inputs_and_outputs"


def port(name, **changes):
    case = golden(name)
    return from_torch(case.family, {**case.config, **changes}, case.state), case


def test_layer_that_the_original_skips_is_not_there():
    ported, case = port(SKIPPED)
    assert ported.model.depth == 5 and len(case.config["branch_layers"]) == 6
    kept = ported.model.branches[0].layers
    np.testing.assert_array_equal(kept[2].weight, case.state["branch_net.2.weight"])
    assert count_parameters(ported.model) == case.parameters - 30
    assert count_parameters(port(SEVERAL)[0].model) == golden(SEVERAL).parameters


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (SKIPPED, {"cls": "MultiONet"}, "cls must be one of"),
        (SKIPPED, {"sum_layers": 5}, "sum_layers 5 must be less than the 5 entries of trunk_layers"),
        (SKIPPED, {"branch_layers": [5, 5, 4, 5, 5, 5]}, "is longer than its partner; the original skips layers 3 to 3"),
        (SKIPPED, {"trunk_layers": [5, 5, 5, 5, 4]}, "the last 3 entries of trunk_layers and branch_layers must agree"),
        (SKIPPED, {"activation_trunk": "silu_sin"}, "activation_trunk must be one of"),
        (SKIPPED, {"latent_size": 3}, "unknown option 'latent_size'"),
        (SEVERAL, {"out_size": 0}, "out_size must be positive integers"),
    ],
)
def test_what_cannot_be_equal_is_refused(name, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        port(name, **changes)
    assert "\n" not in str(caught.value)


def test_input_of_another_layout_is_refused():
    ported, case = port(SKIPPED)
    with pytest.raises(ModelInputError, match=r"wanted \(points, 2\) and \(batch, 3\)"):
        ported(x=jnp.ones((4, 6, 2)), a=jnp.asarray(case.inputs["a"]))
    ported, case = port(SEVERAL)
    with pytest.raises(ModelInputError, match=r"wanted \(\d+, points, 1\) and \(batch, 3, 3\)"):
        ported(x=jnp.asarray(case.inputs["x"]), a=jnp.asarray(case.inputs["a"])[:, 0])
