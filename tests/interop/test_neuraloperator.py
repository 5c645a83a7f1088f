import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop import from_torch
from neuralop_jax.kernels import tucker_rank
from neuralop_jax.models import build, spec_of

from .golden_cases import golden


def both(name, shape):
    """The outputs of the ported callable and of the native operator on a random batch."""
    case = golden(name)
    ported = from_torch(case.family, case.config, case.state)
    x = jax.random.normal(jax.random.key(0), (2, case.config["in_channels"], *shape), jnp.float64)
    return eqx.filter_jit(lambda ported, x: (ported(x=x), jax.vmap(ported.model)(x)))(ported, x)


@pytest.mark.parametrize("shape", [(8, 8), (12, 9), (6, 5), (4, 4)])
def test_native_operator_agrees_where_the_original_indexes_rightly(shape):
    ported, native = both("neuraloperator_fno/fno2d_odd_grid", shape)
    np.testing.assert_allclose(ported, native, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(9, 8), (5, 8), (7, 7)])
def test_native_operator_differs_on_odd_full_axes(shape):
    ported, native = both("neuraloperator_fno/fno2d_odd_grid", shape)
    assert np.linalg.norm(ported - native) > 1e-2 * np.linalg.norm(native)


def test_one_dimension_has_no_full_axis_and_no_deviation():
    for points in (7, 12):
        ported, native = both("neuraloperator_fno/fno1d_coarse", (points,))
        np.testing.assert_allclose(ported, native, rtol=1e-10, atol=1e-12)


def test_native_operator_is_right_by_wavenumber_on_an_odd_grid():
    """A single spectral convolution that multiplies by one must return a band-limited field as it is; the original does not."""
    config = {"n_modes": [4, 4], "in_channels": 1, "out_channels": 1, "hidden_channels": 1, "n_layers": 1}
    config |= {"lifting_channel_ratio": 0, "projection_channel_ratio": 1, "positional_embedding": None, "non_linearity": "relu"}
    config |= {"use_channel_mlp": False, "fno_skip": None}
    one, none = np.ones((1, 1, 1)), np.zeros(1)
    state = {"lifting.fcs.0.weight": one, "lifting.fcs.0.bias": none, "fno_blocks.convs.0.bias": np.zeros((1, 1, 1))}
    state["fno_blocks.convs.0.weight.tensor"] = np.ones((1, 1, 4, 3), complex)
    for layer in (0, 1):
        state |= {f"projection.fcs.{layer}.weight": one, f"projection.fcs.{layer}.bias": none}
    ported = from_torch("neuraloperator_fno", config, state)
    x, y = np.meshgrid(np.arange(9) / 9, np.arange(8) / 8, indexing="ij")
    u = 2 + np.cos(2 * np.pi * y)[None]
    np.testing.assert_allclose(ported.model(jnp.asarray(u)), u, atol=1e-12)
    moved = 2 * np.cos(2 * np.pi * x) + np.cos(2 * np.pi * (y - x))  # every wavenumber of the first axis is one too low
    np.testing.assert_allclose(ported(x=jnp.asarray(u[None]))[0, 0], np.maximum(moved, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factorization": "Tuker", "rank": 0.1}, "Did you mean 'tucker'?"),
        ({"complex_data": True}, "complex_data is not supported"),
        ({"resolution_scaling_factor": [2, 0.5]}, "resolution_scaling_factor [2, 0.5] is not supported"),
        ({"fno_block_precision": "mixed"}, "fno_block_precision 'mixed' is not supported"),
        ({"norm": "ada_in"}, "norm must be one of"),
        ({"fno_skip": "linaer"}, "Did you mean 'linear'?"),
        ({"positional_embedding": "sin"}, "positional_embedding must be one of 'grid', None"),
        ({"non_linearity": "gleu"}, "'gelu'"),
        ({"domain_padding": [0.1]}, "domain_padding must be a number or a list of 2 numbers"),
        ({"max_n_modes": [6, 3]}, "does not hold n_modes"),
        ({"n_modes": 6}, "n_modes must be a list of positive integers, got 6"),
        ({"hidden_channels": 4.5}, "hidden_channels must be a positive integer, got 4.5"),
    ],
)
def test_what_cannot_be_ported_is_refused(options, said):
    case = golden("neuraloperator_fno/fno2d_odd_grid")
    with pytest.raises(ConfigError) as caught:
        from_torch(case.family, case.config | options, case.state)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"factorization": "Dense", "rank": 0.5, "fixed_rank_modes": True, "implementation": "reconstructed"},
        {"channel_mlp_dropout": 0.2, "decomposition_kwargs": {}},
        {"resolution_scaling_factor": 1},
        {"domain_padding": 0},
        {"fno_skip": "Linear"},
    ],
)
def test_options_without_effect_are_accepted(options):
    case = golden("neuraloperator_fno/fno2d_odd_grid")
    ported = from_torch(case.family, case.config | options, case.state)
    np.testing.assert_allclose(ported(x=jnp.asarray(case.x)), case.y, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rank", [5, [4, 5, 4, 6], 10.0])
def test_tucker_ranks_beyond_the_sizes_are_read(rank):
    """The original allows them; the same weight in full makes the same outputs, and the model can be built from its specification."""
    dense = {"n_modes": [4, 4], "in_channels": 1, "out_channels": 1, "hidden_channels": 4, "n_layers": 1}
    config = dense | {"factorization": "tucker", "rank": rank}
    ranks = tucker_rank((4, 4, 4, 3), rank) if isinstance(rank, float) else (5,) * 4 if isinstance(rank, int) else rank
    random = np.random.default_rng(0)
    draw = lambda *shape: random.standard_normal(shape) + 1j * random.standard_normal(shape)
    core, factors = draw(*ranks), [draw(size, r) for size, r in zip((4, 4, 4, 3), ranks, strict=True)]
    name = "fno_blocks.convs.0"
    low = {f"{name}.weight.core": core} | {f"{name}.weight.factors.factor_{k}": f for k, f in enumerate(factors)}
    full = {f"{name}.weight.tensor": np.einsum("abcd,ia,ob,kc,ld->iokl", core, *factors)}
    shapes = {"lifting.fcs.0": (8, 3), "lifting.fcs.1": (4, 8), "projection.fcs.0": (8, 4), "projection.fcs.1": (1, 8)}
    shapes |= {"fno_blocks.channel_mlp.0.fcs.0": (2, 4), "fno_blocks.channel_mlp.0.fcs.1": (4, 2)}
    rest = {f"{key}.weight": random.standard_normal((*shape, 1)) for key, shape in shapes.items()}
    rest |= {f"{key}.bias": random.standard_normal(shape[0]) for key, shape in shapes.items()}
    rest |= {f"{name}.bias": np.zeros((4, 1, 1)), "fno_blocks.fno_skips.0.conv.weight": random.standard_normal((4, 4, 1))}
    rest["fno_blocks.channel_mlp_skips.0.weight"] = random.standard_normal((1, 4, 1, 1))
    ported = from_torch("neuraloperator_fno", config, rest | low)
    x = jax.random.normal(jax.random.key(0), (2, 1, 8, 8), jnp.float64)
    wanted = from_torch("neuraloperator_fno", dense, rest | full)(x=x)
    np.testing.assert_allclose(ported(x=x), wanted, rtol=1e-9, atol=1e-9 * float(jnp.abs(wanted).max()))
    same = build(spec_of(ported.model), key=jax.random.key(0))
    assert jax.tree.structure(same) == jax.tree.structure(ported.model)


def test_input_of_another_layout_is_refused():
    case = golden("neuraloperator_fno/fno2d_odd_grid")
    ported = from_torch(case.family, case.config, case.state)
    for x in (case.x[0], np.moveaxis(case.x, 1, -1)):
        with pytest.raises(ModelInputError, match=r"wanted \(batch, 2, \*space\) with 2 space axes"):
            ported(x=jnp.asarray(x))
