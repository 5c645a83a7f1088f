import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.models import MgNO, build, spec_of

KEY = jax.random.key(0)
_NAVIER_STOKES = {"boundary": "periodic", "bypass": False, "bias": "scalar", "norm": "cycle", "residual": True}
_HELMHOLTZ = {"boundary": "reflect", "bypass": False, "bias": "scalar", "norm": "layer", "head": "multigrid", "growing": True}
_PUBLISHED = {
    "rough": ({}, 572_661),
    "smooth": ({"depth": 5, "prolongation_size": (3, 4, 3, 3, 4)}, 678_093),
    "pipe": ({"in_channels": 2, "depth": 5, "smoothing": ((1, 0),) * 4 + ((1, 1), (2, 0))}, 783_876),
    "navier_stokes": (
        {"width": 32, "depth": 5, "smoothing": ((1, 0),) * 3 + ((2, 0),) * 2, "norm_affine": "all", "norm_grid": (64, 64)}
        | _NAVIER_STOKES,
        2_885_194,
    ),
    # The original has operators beside the first smoothers, which it never applies: 181 + 3 * 3620 + 200 numbers.
    "helmholtz": (
        {"width": 20, "smoothing": ((1, 0),) * 4 + ((2, 0),), "norm_affine": "finest", "norm_grid": (101, 101)}
        | {"prolongation_size": (3, 4, 4, 3), "restriction_padding": 0}
        | _HELMHOLTZ,
        5_351_806 - 11_241,
    ),
}


def shapes(**options):
    return eqx.filter_eval_shape(MgNO, **{"in_channels": 1, "out_channels": 1, "num_dims": 2} | options, key=KEY)


@pytest.mark.parametrize("name", _PUBLISHED)
def test_parameter_counts(name):
    """Acceptance 1, and the Helmholtz model."""
    options, expected = _PUBLISHED[name]
    leaves = [leaf for leaf in jax.tree.leaves(shapes(**options)) if hasattr(leaf, "shape")]
    assert sum(int(np.prod(leaf.shape)) for leaf in leaves) == expected


def small(**options):
    defaults = {"in_channels": 2, "out_channels": 1, "num_dims": 2, "width": 2, "depth": 1, "smoothing": ((1, 1), (1, 0))}
    return MgNO(**{**defaults, **options}, key=KEY)


OPTIONS = [
    {},
    {"norm_affine": "all", "norm_grid": (8, 5), "depth": 2, **_NAVIER_STOKES, "out_channels": 2},
    {**_HELMHOLTZ, "restriction_padding": 0, "prolongation_size": (3,), "norm_affine": "finest", "norm_grid": (8, 5)},
    {"coarse_rhs": "residual", "coarse_init": "zero", "sharing": "per_level", "bias": "function", "bias_points": 2},
    {"sharing": "all_levels", "smoothing": ((2, 1), (1, 0), (1, 0)), "head_hidden": 3, "boundary": "replicate"},
    {"smoothing": ((0, 1), (1, 0)), "coarse_rhs": "residual", "head_bias": True},
    {"smoothing": ((1, 0), (0, 0)), "residual": True, "head_channels": 1, "out_channels": 2, "activation": "tanh"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ",".join(o) or "plain")
def test_every_option_of_mgno(options):
    """Builds from its specification and back, follows the type, and every parameter matters."""
    model = small(**options)
    assert spec_of(build(spec_of(model), key=KEY)) == spec_of(model)
    u = jax.random.normal(KEY, (3, 2, 8, 5))

    @eqx.filter_jit
    def evaluate(model, u):
        loss = lambda m: (lambda v: (jnp.sum(v**2), v))(m.batched(u))
        (_, v), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        return v, gradient

    v, gradient = evaluate(model, u)
    assert v.shape == (3, model.out_channels, 8, 5)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.any(leaf != 0), jax.tree_util.keystr(path)
    for dtype in (jnp.float32, jnp.bfloat16):
        assert jax.eval_shape(model, jax.ShapeDtypeStruct((2, 8, 5), dtype)).dtype == dtype


@pytest.mark.parametrize("points", [64, 85, 101, 128, 211])
def test_odd_and_even_grids_come_back_as_they_were(points):
    """Acceptance 6, with the published prolongation sizes and with any others."""
    sizes, n = [], points
    for _ in range(5):
        sizes.append(3 if n % 2 else 4)
        n = (n + 1) // 2
    for size in (tuple(sizes), 3, 4):
        model = small(prolongation_size=size, smoothing=((1, 0),) * 5 + ((2, 0),))
        field = jax.ShapeDtypeStruct((2, points, points - 3), jnp.float32)
        assert jax.eval_shape(model, field).shape == (1, points, points - 3)
    assert points != 211 or sizes == [3, 4, 3, 3, 4]


def test_shared_levels_can_be_more_or_fewer():
    """Acceptance 6."""
    model = small(sharing="all_levels", smoothing=((1, 0), (1, 0), (2, 0)), boundary="reflect")
    u = jax.random.normal(KEY, (2, 65, 33))
    outputs = []
    for count in (3, 4):
        other = model.with_smoothing(((1, 0),) * (count - 1) + ((2, 0),))
        assert jax.tree.leaves(other)[0] is jax.tree.leaves(model)[0]
        outputs.append(eqx.filter_jit(other)(u))
        assert len(other.cycles[0].plans) == count
    assert all(jnp.abs(a - b).max() > 1e-6 for a, b in zip(outputs[:-1], outputs[1:], strict=True))
    np.testing.assert_array_equal(outputs[0], eqx.filter_jit(model)(u))
    for count in (5, 6):
        assert jax.eval_shape(model.with_smoothing(((1, 0),) * (count - 1) + ((2, 0),)), u).shape == (1, 65, 33)
    with pytest.raises(ConfigError, match="needs other kernels"):
        model.with_smoothing(((1, 0),))
    with pytest.raises(ConfigError, match="all_levels"):
        small().with_smoothing(((1, 0), (1, 0)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_dims": 4}, "num_dims"),
        ({"norm": "batch"}, "norm must be one of"),
        ({"norm_affine": "all", "norm_grid": (8, 8)}, "no norm to belong to"),
        ({"norm": "layer", "norm_affine": "finest"}, "needs the 2 numbers of points of its grid, got norm_grid=None"),
        ({"norm": "layer", "norm_affine": "all", "norm_grid": (8,)}, "needs the 2 numbers of points of its grid"),
        ({"norm": "layer", "norm_affine": "all", "norm_grid": (8, 0)}, "every entry of norm_grid must be an integer"),
        ({"norm": "layer", "norm_affine": "finset", "norm_grid": (8, 8)}, "Did you mean 'finest'?"),
        ({"norm_grid": (8, 8)}, "norm_grid=(8, 8) is for weights of a norm"),
        ({"head": "multigrid", "head_hidden": 4}, "belong to head='pointwise'"),
        ({"head_channels": 2}, "Change head_channels"),
        ({"residual": True, "out_channels": 3}, "Change head_channels"),
        ({"depth": 0}, "depth"),
        ({"head_hidden": -1}, "head_hidden"),
    ],
)
def test_options_of_mgno_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        small(**options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "shape", "said"),
    [
        ({"boundary": "reflect", "smoothing": ((1, 0),) * 4}, (9, 8), "Use fewer levels, or a finer grid"),
        ({"restriction_padding": 0}, (9, 2), "Use fewer levels, or a finer grid"),
        ({"norm": "layer", "norm_affine": "finest", "norm_grid": (8, 8)}, (8, 9), "norm_affine='none'"),
    ],
)
def test_grids_that_do_not_fit_are_refused(options, shape, said):
    with pytest.raises(ModelInputError) as caught:
        small(**options)(jnp.ones((2, *shape)))
    assert said in str(caught.value) and "\n" not in str(caught.value)
