import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.models import (
    FNO,
    ClassicFNO,
    Normalized,
    apply_batched,
    build,
    check_options,
    check_training_grid,
    clipped_modes,
    count_parameters,
    spec_of,
    trainable,
)
from neuralop_jax.normalizers import GaussianNormalizer

KEY = jax.random.key(0)
CALL = eqx.filter_jit(lambda model, u: model(u))


def run(model, u):
    return np.asarray(CALL(model, jnp.asarray(u)))


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


def count(cls, **options):
    return sum(
        int(np.prod(a.shape)) for a in jax.tree.leaves(eqx.filter_eval_shape(cls, **options, key=KEY)) if hasattr(a, "shape")
    )


@pytest.mark.parametrize(
    "n_modes, width, ratio, expected",
    [
        ((16, 16), 24, 2, 671_113),
        ((8, 8), 24, 2, 191_881),
        ((12, 12), 64, 2, 2_803_393),
        ((32, 32), 64, 2, 17_876_673),
        ((32,), 64, 2, 607_809),
        ((64, 64), 64, 4, 69_265_345),
    ],
)
def test_parameter_counts(n_modes, width, ratio, expected):
    """Acceptance 1, second table."""
    assert count(FNO, in_channels=1, out_channels=1, n_modes=n_modes, width=width, projection_ratio=ratio) == expected


@pytest.mark.parametrize(
    "dims, modes, width, channels, norm, expected",
    [
        (1, 16, 64, 1, None, 549_569),
        (2, 12, 32, 1, None, 2_368_001),
        (2, 12, 20, 10, None, 926_357),
        (2, 8, 20, 10, None, 414_357),
        (2, 8, 20, 10, "group", 414_517),
        (3, 8, 20, 10, None, 6_558_377),
        (3, 8, 20, 10, "group", 6_558_537),
    ],
)
def test_classic_parameter_counts(dims, modes, width, channels, norm, expected):
    """Acceptance 1, first table; the published batch norm has the scale and shift per channel that group norm has."""
    n_modes = (2 * modes,) * (dims - 1) + (2 * (modes - 1),)
    assert count(ClassicFNO, in_channels=channels, out_channels=1, n_modes=n_modes, width=width, norm=norm) == expected


def small(**options):
    defaults = {"in_channels": 2, "out_channels": 1, "n_modes": (4, 4), "width": 6, "depth": 2}
    return FNO(**{**defaults, **options}, key=KEY)


OPTIONS = [
    {},
    {"norm": "instance"},
    {"norm": "group", "preactivation": True},
    {"norm": "adaptive", "num_parameters": 3},
    {"bypass": "soft_gating", "channel_mlp_bypass": "linear"},
    {"bypass": "convolution", "bypass_bias": True},
    {"bypass": "identity", "channel_mlp_bypass": "none"},
    {"bypass": "none", "channel_mlp_bypass": "identity"},
    {"channel_mlp": False},
    {"channel_mlp": False, "repeat_activation": True, "norm": "group"},
    {"padding": 0.25},
    {"padding": (0.0, 0.5)},
    {"separable": True, "stabilizer": "tanh"},
    {"coordinates": False, "activation": "silu"},
    {"max_n_modes": (8, 8), "transform": "fft"},
    {"output_scaling": (2, (0.5, 1.0))},
    {"lifting_ratio": 0.0},
    {"complex_data": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ",".join(o) or "plain")
def test_every_option(options):
    """Builds from its specification and back, follows the type, maps over batches, and every active parameter matters."""
    model = small(**options)
    rebuilt = build(spec_of(model), key=KEY)
    assert spec_of(rebuilt) == spec_of(model)
    u = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 12, 10)) * (1 + 0.5j if model.complex_data else 1))
    p = jnp.asarray(np.ones((2, 3))) if model.num_parameters else None
    call = (lambda m, u, p: m(u, p=p)) if model.num_parameters else (lambda m, u, p: m(u))
    v = eqx.filter_jit(eqx.filter_vmap(call, in_axes=(None, 0, None if p is None else 0)))(model, u, p)
    one = eqx.filter_jit(call)
    np.testing.assert_allclose(v[1], one(rebuilt, u[1], None if p is None else p[1]), atol=1e-12)
    if not model.complex_data:
        rough = lambda tree: jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a, np.float32)) if eqx.is_inexact_array(a) else a, tree
        )
        low = one(*rough((model, u[0], None if p is None else p[0])))
        assert low.dtype == jnp.float32
        np.testing.assert_allclose(low, v[0], atol=2e-4)
    loss = lambda m: jnp.sum(jnp.abs(call(m, u[0], None if p is None else p[0])) ** 2)
    grads = eqx.filter_jit(eqx.filter_grad(loss))(model)
    for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(grads, eqx.is_inexact_array)):
        assert np.any(leaf), jax.tree_util.keystr(path)


def test_commutes_with_shifts_only_without_coordinates():
    """Acceptance 5."""
    u = draw(2, 12, 10)
    shift = lambda a: np.roll(a, (3, -4), (1, 2))
    difference = lambda model: abs(run(model, shift(u)) - shift(run(model, u))).max()
    assert difference(small(coordinates=False)) < 1e-10
    assert difference(small()) > 1e-2


def test_fewer_active_modes_equal_zeroed_outer_weights():
    """Acceptance 8."""
    model = small(n_modes=(16, 16), max_n_modes=(16, 16))
    inner = np.zeros((16, 9, 1, 1))
    inner[4:12, :5] = 1
    weights = lambda m: [block.conv.weight for block in m.blocks]
    cut = lambda part: jnp.asarray(np.asarray(part) * inner)
    zeroed = eqx.tree_at(weights, model, [tuple(map(cut, w)) for w in weights(model)])
    u = draw(2, 20, 18)
    np.testing.assert_allclose(run(model.with_n_modes(8), u), run(zeroed, u), atol=1e-12)
    with pytest.raises(ConfigError, match="exceeds the stored"):
        model.with_n_modes(18)


def test_both_transforms_give_the_same_operator():
    by_fft, by_dft = (run(small(transform=transform, padding=0.2), draw(2, 9, 14)) for transform in ("fft", "dft"))
    np.testing.assert_allclose(by_fft, by_dft, atol=1e-12)


def test_two_resolutions_agree_on_smooth_input():
    """Pointwise activations create wavenumbers beyond any band, so agreement is spectral in the resolution, not exact."""
    model = small(coordinates=False, activation="tanh")
    fine = lambda n: np.stack([np.sin(2 * np.pi * np.arange(n) / n)[:, None] * np.ones((1, n))] * 2) * 0.3
    coarse, finer = run(model, fine(32)), run(model, fine(64))
    np.testing.assert_allclose(finer[:, ::2, ::2], coarse, atol=1e-6)


def test_coarse_grids_clip_the_modes():
    model = small(n_modes=(8, 8))
    assert np.isfinite(run(model, np.ones((2, 5, 6)))).all()
    check_training_grid(model, (8, 8))
    assert clipped_modes(model, (8, 9)) is None and clipped_modes(model, (5, 12)) == (5, 8)
    with pytest.raises(ConfigError, match=r"n_modes=\(8, 8\) needs a training grid .* has \(5, 6\). Use --model.n-modes 5,6"):
        check_training_grid(model, (5, 6), name="darcy")


@pytest.mark.parametrize(
    "u, words",
    [
        (jnp.ones((5, 2, 8, 8)), "one sample .*rank 4, not 3. Batch with jax.vmap"),
        (jnp.ones((8, 8, 2)), "expected 2 input channels on axis 0, got 8 .*channels-last: use jnp.moveaxis"),
        (jnp.ones((8, 8)), "with 2 space axes"),
        (jnp.ones((2, 8, 8), jnp.int32), "got int32. Use u.astype"),
        (jnp.ones((2, 8, 8), complex), "real floating array, got complex128"),
    ],
)
def test_wrong_input(u, words):
    with pytest.raises(ModelInputError, match=words) as raised:
        small()(u)
    assert "\n" not in str(raised.value)


def test_arguments_that_the_model_cannot_use():
    with pytest.raises(ModelInputError, match=r"query points y \(5, 2\)"):
        small()(jnp.ones((2, 8, 8)), y=jnp.ones((5, 2)))
    with pytest.raises(ModelInputError, match="no layer that reads them"):
        small()(jnp.ones((2, 8, 8)), p=jnp.ones(3))


@pytest.mark.parametrize(
    "kind, options, words",
    [
        ("fno", {"widht": 64}, r"unknown option 'model.widht' for model 'fno'. Did you mean 'model.width' \(int, default 32\)\?"),
        ("fno", {"heads": 4}, r"unknown option 'model.heads' for model 'fno'. Options: n_modes, "),
        ("fnoo", {}, "unknown model 'fnoo'.*Did you mean 'fno'"),
        ("os.system", {}, "not a registered model; configurations cannot import"),
    ],
)
def test_wrong_specifications(kind, options, words):
    with pytest.raises(ConfigError, match=words):
        check_options(kind, options)


def test_a_model_that_cannot_be_built_again_has_no_specification():
    model = small()
    object.__setattr__(model, "preactivation", 1)  # as a constructor takes it where types are not checked
    with pytest.raises(ConfigError, match="model.preactivation must be"):
        spec_of(model)


@pytest.mark.parametrize(("spec", "found"), [({}, "nothing"), ({"kind": 3}, "3")])
def test_specifications_without_a_model(spec, found):
    with pytest.raises(ConfigError, match=f"model.kind must name a model, got {found}. Known: .*fno"):
        build(spec, key=jax.random.key(0))


@pytest.mark.parametrize(
    "options", [{"activation": "gleu"}, {"bypass": "lin"}, {"depth": 0}, {"n_modes": (0, 4)}, {"num_dims": 3}]
)
def test_wrong_values(options):
    with pytest.raises(ConfigError):
        small(**options)


def test_normalized_works_in_physical_units():
    model = small()
    physical = Normalized(
        model,
        GaussianNormalizer(jnp.asarray([1.0, -2.0]), jnp.asarray([2.0, 3.0])),
        GaussianNormalizer(jnp.asarray([5.0]), jnp.asarray([10.0])),
    )
    u = draw(2, 8, 8)
    normalized = (u - np.reshape([1.0, -2.0], (2, 1, 1))) / np.reshape([2.0, 3.0], (2, 1, 1))
    np.testing.assert_allclose(run(physical, u), 5 + 10 * run(model, normalized), atol=1e-12)
    assert count_parameters(physical) == count_parameters(model)
    assert not any(jax.tree.leaves(trainable(physical).input))


@pytest.mark.parametrize("micro_batch", [0, 1, 2, 5])
def test_portions_do_not_change_the_result(micro_batch, compiled):
    model = small()
    both = lambda u: (apply_batched(model, u, micro_batch=micro_batch), jax.vmap(model)(u))
    found, mapped = compiled(both, jnp.asarray(draw(6, 2, 8, 8)))
    np.testing.assert_allclose(found, mapped, atol=1e-12)


def test_classic_weights_of_the_published_scripts():
    model = ClassicFNO(in_channels=1, out_channels=1, n_modes=(8, 6), width=4, padding=3, init="li2020", key=KEY)
    weights = np.concatenate([np.ravel(part) for block in model.blocks for part in block.conv.weight])
    assert 0 <= weights.min() and weights.max() < 1 / 16 and abs(weights.mean() * 32 - 1) < 0.05
    assert run(model, np.ones((1, 9, 9))).shape == (1, 9, 9)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"padding": -0.1}, "padding must be one number from 0 to 8, or 2 of them, one per axis, got -0.1"),
        ({"padding": (0.1, float("nan"))}, r"padding must be .* got \(0.1, nan\)"),
        ({"padding": (0.1, 0.2, 0.3)}, "padding must be .* or 2 of them"),
        ({"padding": 1e9}, "padding must be one number from 0 to 8"),
        ({"lifting_ratio": -1}, "lifting_ratio must give at least one hidden channel, got -1 times"),
        ({"lifting_ratio": float("nan")}, "lifting_ratio must give at least one hidden channel, got nan"),
        ({"channel_mlp_expansion": 0}, "channel_mlp_expansion must give at least one hidden channel, got 0"),
        ({"projection_ratio": 0.1}, "projection_ratio must give at least one hidden channel"),
        ({"output_scaling": (0, 1)}, "each entry of output_scaling must be .* got 0"),
        ({"output_scaling": ((2, 2, 2), 1)}, "each entry of output_scaling must be .* or 2 of them"),
        ({"output_scaling": (2, 1, 1)}, "output_scaling must have one entry for each of 2 blocks"),
        ({"n_modes": (4, 4, 4), "num_dims": 2}, r"n_modes \(4, 4, 4\) has 3 entries, the data have 2 space axes"),
        ({"max_n_modes": (16,)}, r"max_n_modes \(16,\) has 1 entries"),
        ({"n_modes": (True, True)}, "n_modes must be one to four positive integers"),
    ],
)
def test_sizes_that_cannot_be(options, words):
    with pytest.raises(ConfigError, match=words):
        small(**{"depth": 2} | options)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"padding": -3}, "padding must be one whole number from 0 to"),
        ({"padding": (1, 2, 3)}, "padding must be .* or 2 of them"),
        ({"num_dims": 1}, r"n_modes \(8, 6\) has 2 entries, the data have 1 space axes. Give one each\.$"),
        ({"num_dims": 3}, r"\(8, 6\) has 2 entries, the data have 3 space axes. Give one each, or data.num_dims 2 if the first"),
    ],
)
def test_sizes_that_the_classic_network_cannot_have(options, words):
    with pytest.raises(ConfigError, match=words):
        ClassicFNO(in_channels=1, out_channels=1, n_modes=(8, 6), width=4, key=KEY, **options)


def test_fewer_modes_of_a_network_without_spare_ones():
    model = small(n_modes=(6, 6))
    u = draw(2, 12, 10)
    fewer = model.with_n_modes((4, 2))
    assert fewer.n_modes == (4, 2) and fewer.with_n_modes((6, 6)).n_modes == (6, 6)
    np.testing.assert_allclose(run(fewer.with_n_modes((6, 6)), u), run(model, u), atol=1e-12)
    with pytest.raises(ConfigError, match=r"n_modes \(8, 8\) exceeds the stored \(6, 6\)"):
        model.with_n_modes(8)


def test_parameters_of_the_wrong_shape():
    model = small(norm="adaptive", num_parameters=2)
    u = jnp.ones((2, 8, 8))
    for p, found in ((None, "nothing"), (jnp.ones(3), r"shape \(3,\)")):
        with pytest.raises(ModelInputError, match=rf"reads parameters p of shape \(2,\), got {found}"):
            model.check(u, None, None, p, batched=False)
    with pytest.raises(ModelInputError, match=r"p of shape \(4, 2\), got shape \(3, 2\)"):
        model.check(jnp.stack([u] * 4), None, None, jnp.ones((3, 2)), batched=True)


def test_the_spectral_weights_of_the_published_scripts_have_a_key_of_their_own():
    model = ClassicFNO(in_channels=1, out_channels=1, n_modes=(2, 2), width=4, depth=2, init="li2020", key=KEY)
    keys = jax.random.split(KEY, 2)
    drawn = [jax.random.uniform(k, (2, *model.blocks[0].conv.weight[0].shape))[0] / 16 for k in keys]
    assert not any(np.allclose(block.conv.weight[0], d) for block, d in zip(model.blocks, drawn, strict=True))
