import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import CheckpointError, ConfigError, ModelInputError
from neuralop_jax.interop import from_torch

from .golden_cases import golden

_PAIRS = [[1, 0], [1, 0]]
_MODEL = {"num_layer": 1, "num_channel_u": 2, "num_channel_f": 1, "num_classes": 1, "num_iteration": _PAIRS}


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        # Steps after the coarsest level: two smoothers and two operators, 3 and 2 channels in the first layer, then 3 and 3.
        ("mgno/darcy_post_smoothing", 2 * 2 * 9 * (3 * 2 + 3 * 3)),
        ("mgno/darcy_odd", 2 * 9 * (16 + 9 + 9)),  # three of five prolongations
        ("mgno/navier_stokes_residual", 0),
    ],
)
def test_parameters_that_the_original_uses_are_leaves(name, unused):
    case = golden(name)
    ported = from_torch(case.family, case.config, case.state)
    assert case.parameters - sum(leaf.size for leaf in jax.tree.leaves(ported.model)) == unused


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"cls": "MgNO_DCC"}, "Did you mean 'MgNO_DC'?"),
        ({"cls": "MgNO_DC", "bias": True}, "unknown option 'bias'"),
        ({"cls": "MgNO_DC", "activation": "elu"}, "activation must be one of"),
        ({"cls": "MgNO_DC", "padding_mode": "periodic"}, "padding_mode must be one of"),
        ({"cls": "MgNO_DC", "num_iteration": [[0, 1], [1, 0]]}, "takes no first step"),
        ({"cls": "MgNO_DC", "num_iteration": [1, 2]}, "list of pairs of whole numbers"),
        ({"cls": "MgNO_DC", "num_layer": 0}, "num_layer must be a whole number of at least 1"),
        ({"cls": "MgNO_DC", "normalizer": {"mean": 1.0}}, "normalizer must be None, True"),
        ({"cls": "MgNO_DC_smooth", "num_iteration": [[1, 0]] * 7}, "6 levels at most"),
        ({"cls": "MgNO_NS", "num_channel_f": 3, "mlp_hidden_dim": 4, "output_dim": 2}, "cannot add output_dim 2"),
        ({"cls": "MgNO_helm", "num_iteration": [1, 1, 1]}, "runs with 1, 2 or 5"),
        ({"cls": "MgNO_helm"}, "list of whole numbers"),
        ({"cls": "MgNO_helm", "num_iteration": [1, 1], "init": True}, "init is not supported"),
    ],
)
def test_what_the_original_cannot_do_is_refused(config, said):
    with pytest.raises(ConfigError) as caught:
        from_torch("mgno", {**_MODEL, **config}, {})
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("mgno/darcy_post_smoothing", (2, 2, 8, 10), "to (4, 6), not to (4, 5)"),
        ("mgno/darcy_odd", (2, 1, 11, 9), "use .model"),
        ("mgno/navier_stokes_residual", (2, 1, 32, 32), "written for the grid (64, 64)"),
        ("mgno/darcy_odd", (2, 11, 7), "wanted (batch, 1, x, y)"),
    ],
)
def test_grids_on_which_the_original_fails_are_refused(name, shape, said):
    case = golden(name)
    ported = from_torch(case.family, case.config, case.state)
    with pytest.raises(ModelInputError) as caught:
        jax.eval_shape(ported, jax.ShapeDtypeStruct(shape, jnp.float64))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_given_statistics_decode_as_those_of_the_state_dict():
    case = golden("mgno/darcy_post_smoothing")
    mean, std = case.state["normalizer.mean"], case.state["normalizer.std"]
    given = case.config | {"normalizer": {"mean": mean.tolist(), "std": std.tolist(), "eps": 1e-5}}
    rest = {name: value for name, value in case.state.items() if not name.startswith("normalizer")}
    np.testing.assert_array_equal(from_torch("mgno", given, rest).scale, from_torch("mgno", case.config, case.state).scale)
    with pytest.raises(CheckpointError, match="missing normalizer.mean, normalizer.std"):
        from_torch("mgno", case.config, rest)
    with pytest.raises(CheckpointError, match="unexpected normalizer.mean"):
        from_torch("mgno", case.config | {"normalizer": None}, case.state)
