import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.config import load_config, to_json
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import make_patches
from neuralop_jax.models import (
    FNO,
    AbstractGridOperator,
    AbstractOperator,
    MultigridPatches,
    Normalized,
    apply_batched,
    build,
    check_options,
    check_training_grid,
    clipped_modes,
    count_parameters,
    spec_of,
)
from neuralop_jax.models.registry import REGISTRY
from neuralop_jax.normalizers import GaussianNormalizer

KEY = jax.random.key(0)
FOURIER = {"kind": "fno", "n_modes": [4, 4], "width": 4, "depth": 1}


class Local(AbstractGridOperator):
    """sin(u_0) u_1 + reach (u_last at the left neighbor) + p_0: compiled in no time."""

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    num_parameters: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    reach: jax.Array

    def __init__(self, *, in_channels: int, out_channels: int, num_dims: int = 2, num_parameters: int = 0, width: int = 1, key):
        self.in_channels, self.out_channels, self.num_dims, self.width = in_channels, out_channels, num_dims, width
        self.num_parameters, self.reach = num_parameters, jnp.zeros(()) if width == 1 else jax.random.normal(key, ())

    def evaluate(self, u, p=None, *, key=None):
        v = jnp.sin(u[:1]) * u[1:2] + self.reach.astype(u.dtype) * jnp.roll(u[-1:], 1, -1)
        return v if p is None else v + p[..., 0].reshape(1, -1, *(1,) * self.num_dims)


evaluate = eqx.filter_jit(lambda model, u, p=None: model.evaluate(u, p))
product = jax.jit(lambda u: jnp.sin(u[:1]) * u[1:])


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(REGISTRY, "local", Local)


def patched(**options):
    inner = {"kind": "local", "width": 2}
    defaults = {"in_channels": 2, "out_channels": 1, "operator": inner, "levels": 1, "padding": 0.125}
    return MultigridPatches(**{**defaults, **options}, key=KEY)


@pytest.mark.parametrize(("dims", "boundary"), [(1, "reflect"), (2, "periodic"), (3, "zeros")])
def test_a_pointwise_operator_gives_the_result_without_patches(getkey, dims, boundary):
    """Acceptance 10, for an operator that reads the finest channels only."""
    model = patched(operator={"kind": "local"}, num_dims=dims, levels=2 if dims == 1 else 1, boundary=boundary)
    assert model.inner.in_channels == 2 * (1 + model.levels)
    u = jax.random.normal(getkey(), (2, 3, *(16, 8, 4)[:dims]))
    np.testing.assert_array_equal(evaluate(model, u), product(u))


def test_it_is_the_operator_inside_on_patches(getkey):
    model, u = patched(padding=(0.25, 0.125), boundary=["zeros", "periodic"]), jax.random.normal(getkey(), (2, 3, 8, 16))
    windows = make_patches(u, 1, (2, 2), ("zeros", "periodic"))
    assert model.window_shape((8, 16)) == windows.shape[2:] == (8, 12)
    outputs = np.asarray(evaluate(model.inner, windows)).reshape(3, 2, 2, 8, 12)[..., 2:-2, 2:-2]
    wanted = np.stack([np.block([[o[0, 0], o[0, 1]], [o[1, 0], o[1, 1]]]) for o in outputs])
    np.testing.assert_array_equal(evaluate(model, u)[0], wanted)
    np.testing.assert_array_equal(evaluate(model, u[:, 1])[0], wanted[1])


def test_every_patch_has_the_parameters_of_its_sample(getkey):
    model = patched(operator={"kind": "local", "num_parameters": 2})
    u, p = jax.random.normal(getkey(), (3, 2, 8, 12)), jax.random.normal(getkey(), (3, 2))
    wanted = np.sin(u[:, :1]) * u[:, 1:] + np.reshape(p[:, 0], (3, 1, 1, 1))
    np.testing.assert_allclose(eqx.filter_jit(lambda m, u, p: m.batched(u, p=p))(model, u, p), wanted, atol=1e-15)
    np.testing.assert_allclose(evaluate(model, u[2], p[2]), wanted[2], atol=1e-15)
    with pytest.raises(ModelInputError, match=r"reads parameters p of shape \(2,\), got nothing"):
        model(u[0])


def test_a_shift_by_a_patch_shifts_the_prediction(getkey):
    model, u = patched(levels=2, padding=0.0625), jax.random.normal(getkey(), (2, 16, 32))
    once, four = (np.asarray(evaluate(model, np.roll(u, shift, 1))) for shift in (1, 4))
    np.testing.assert_array_equal(four, np.roll(evaluate(model, u), 4, 1))
    assert np.abs(once - np.roll(evaluate(model, u), 1, 1)).max() > 1e-3  # the coarser views hold other points


def test_no_levels_leave_the_field_alone(getkey):
    model, u = patched(levels=0, padding=0.3), jax.random.normal(getkey(), (2, 7, 9))
    np.testing.assert_array_equal(evaluate(model, u), evaluate(model.inner, u))
    assert model.inner.in_channels == 2 and model.window_shape((7, 9)) == (7, 9)


@pytest.mark.parametrize("levels", [0, 1])
def test_coordinates_are_those_of_the_whole_domain(getkey, levels):
    """What depends on the place needs them: the operator inside sees every patch alike."""
    options = {"operator": {"kind": "local"}, "num_dims": 2, "coordinates": True, "levels": levels, "padding": 0.125, "key": KEY}
    model, u = MultigridPatches(in_channels=1, out_channels=1, **options), jax.random.normal(getkey(), (1, 3, 8, 16))
    x = np.arange(8)[:, None] / 8
    np.testing.assert_allclose(evaluate(model, u), np.sin(u) * x, atol=1e-15)
    np.testing.assert_allclose(evaluate(model, u[:, 0]), np.sin(u[:, 0]) * x, atol=1e-15)
    assert model.inner.in_channels == 3 * (1 + levels) and spec_of(model)["coordinates"] is True


def test_gradients_reach_every_weight_of_a_fourier_operator(getkey):
    model, u = patched(operator=FOURIER), jax.random.normal(getkey(), (2, 2, 8, 8))
    loss = eqx.filter_jit(eqx.filter_value_and_grad(lambda model: jnp.mean(model.batched(u) ** 2)))
    value, gradient = loss(model)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(gradient))
    step = 1e-6 / sum(float(np.sum(np.square(g))) for g in jax.tree.leaves(gradient))
    moved = lambda sign: loss(
        jax.tree.map(lambda w, g: jnp.asarray(np.asarray(w) + sign * step * np.asarray(g)), model, gradient)
    )[0]
    np.testing.assert_allclose((moved(1) - moved(-1)) / 2, 1e-6, rtol=1e-5)


@pytest.mark.parametrize("boundary", ["periodic", ["reflect", "zeros"]])
def test_a_specification_and_back(boundary):
    spec = {"kind": "multigrid_patches", "operator": FOURIER, "padding": [0.1, 0.2], "boundary": boundary}
    model = build(spec, in_channels=1, out_channels=2, num_dims=2, key=KEY)
    said = json.loads(json.dumps(spec_of(model)))
    assert said["operator"].items() >= FOURIER.items() and {**said, "operator": FOURIER}.items() >= {**spec, "levels": 1}.items()
    again = build(said, key=KEY)
    assert eqx.tree_equal(again, model) and spec_of(again) == said
    assert count_parameters(model) == count_parameters(
        FNO(in_channels=2, out_channels=2, n_modes=(4, 4), width=4, depth=1, key=KEY)
    )


def test_patches_of_patches(getkey):
    """The operator inside may be one of patches itself."""
    spec = {"kind": "multigrid_patches", "operator": {"kind": "local"}, "padding": 0}
    model, u = patched(operator=spec, padding=0), jax.random.normal(getkey(), (2, 16, 16))
    assert model.inner.inner.in_channels == 8 and spec_of(model)["operator"]["operator"]["kind"] == "local"
    np.testing.assert_array_equal(evaluate(model, u), product(u))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_types_and_units(getkey, dtype):
    model = Normalized(patched(), GaussianNormalizer([1.0, 0.0], [2.0, 1.0]), GaussianNormalizer([0.0], [3.0]))
    u = jax.random.normal(getkey(), (2, 2, 8, 8), dtype)
    found, wanted = (eqx.filter_jit(apply_batched)(model, u.astype(kind)) for kind in (dtype, jnp.float64))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(float), wanted, atol=30 * float(jnp.finfo(dtype).eps))


def test_the_modes_are_those_of_a_patch():
    model = patched(operator=FOURIER | {"n_modes": [10, 12]})
    check_training_grid(model, (16, 32))  # 12 x 24 points are seen at once
    assert clipped_modes(model, (16, 16)) is None and clipped_modes(model, (8, 16)) == (6, 12)
    words = r"has \(8, 16\), of which it sees \(6, 12\) at once. Use --model.operator.n-modes 6,12"
    with pytest.raises(ConfigError, match=words):
        check_training_grid(model, (8, 16))


TOML = """
[data]
path = "x.h5"
input = ["a"]
target = ["v"]
[model]
kind = "multigrid_patches"
levels = 1
[model.operator]
kind = "fno"
n_modes = [8, 8]
width = 8
"""


def read(tmp_path, *overrides):
    (tmp_path / "run.toml").write_text(TOML)
    config = load_config(tmp_path / "run.toml", overrides)
    check_options(config.model.kind, config.model.options)
    return config


def test_a_configuration_with_an_operator_inside(tmp_path):
    config = read(tmp_path, "--model.operator.n-modes", "4,6", "--model.padding", "0.1")
    model = build({"kind": config.model.kind, **config.model.options}, in_channels=1, out_channels=1, num_dims=2, key=KEY)
    assert model.inner.n_modes == (4, 6) and model.inner.width == 8 and model.padding == 0.1
    assert to_json(config)["model"]["operator"] == {"kind": "fno", "n_modes": [4, 6], "width": 8}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("--model.operator.widht", "3"),
            r"unknown option 'model.operator.widht' for model 'fno'. Did you mean 'model.operator.width'",
        ),
        (("--model.operator.kind", "fnoo"), "unknown model 'fnoo' in model.operator.kind.* Did you mean 'fno'"),
        (
            ("--model.operator.kind", "os.system"),
            "model.operator.kind 'os.system' is not a registered model; configurations cannot",
        ),
        (("--model.operator.kind", "3"), "model.operator.kind must name a model, got 3. Known: .*fno"),
        (("--model.operator", "fno"), r"model.operator must be a table of options, got 'fno'. Write \[model.operator\]"),
        (("--model.operator", "{width = 3}"), "model.operator.kind must name a model, got nothing"),
        (("--model.operator.depth", "two"), "model.operator.depth must be an integer >= 1 and < 1000, got the string 'two'"),
        (("--model.operator.in_channels", "2"), "model.operator.in_channels follows from the operator around it. Leave it out"),
        (("--model.levles", "2"), "unknown option 'model.levles'.*Did you mean 'model.levels'"),
    ],
)
def test_mistakes_inside_a_specification(tmp_path, overrides, words):
    with pytest.raises(ConfigError, match=words) as raised:
        read(tmp_path, *overrides)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"levels": -1}, "levels must be an integer from 0 to 8, got -1"),
        ({"padding": 16}, "padding is a fraction of the points of the whole axis, at most 1, got 16. 16 points of 128 are 0.125"),
        ({"padding": (0.1,) * 3}, "padding must be one number from 0 to 1, or 2 of them"),
        ({"boundary": "circular"}, "boundary must be one of 'zeros', 'reflect', 'replicate', 'periodic', got 'circular'"),
        ({"boundary": ["zeros"]}, "boundary must be one rule, or 2 of them"),
        ({"num_dims": 3, "operator": {"kind": "local", "num_dims": 2}}, "operator has 2 space axes, num_dims is 3"),
        ({"coordinates": True}, "coordinates=True needs num_dims"),
        ({"coordinates": True, "num_dims": -1}, "num_dims must be an integer of at least 1, got -1"),
        ({"operator": {"kind": "fno"}}, "model 'fno' cannot be built from its defaults: "),
        ({"operator": FOURIER | {"depth": 0}}, "operator.depth must be >= 1 and < 1000, got 0"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(ConfigError, match=words) as raised:
        patched(**options)
    assert "\n" not in str(raised.value)


def test_only_operators_on_grids_fit_inside(monkeypatch):
    class Points(AbstractOperator):
        in_channels: int = 1
        out_channels: int = 1
        width: int = 1

        def __init__(self, *, key):
            pass

        def __call__(self, u, *, x=None, y=None, p=None, key=None):
            return u

    monkeypatch.setitem(REGISTRY, "points", Points)
    with pytest.raises(ConfigError, match="operator 'points' does not map grids to grids"):
        patched(operator={"kind": "points"})


def test_grids_that_do_not_fit(getkey):
    with pytest.raises(
        ModelInputError, match="MultigridPatches: patches with levels=1 need a multiple of 4 points on every axis, got 10"
    ):
        patched()(jnp.ones((2, 8, 10)))
    with pytest.raises(ModelInputError, match=r"made \(12, 12\) points of \(6, 6\). Use one that keeps the grid"):
        patched(operator=FOURIER | {"output_scaling": [2.0]})(jnp.ones((2, 8, 8)))
    with pytest.raises(ModelInputError, match="MultigridPatches expected 2 input channels on axis 0, got 3"):
        patched()(jnp.ones((3, 8, 8)))
