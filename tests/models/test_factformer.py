import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import FactorizedAttention
from neuralop_jax.layers._latent_marching import LatentMarcher
from neuralop_jax.losses import relative_l2
from neuralop_jax.models import FactFormer, build, count_parameters, spec_of, trainable
from neuralop_jax.rollout import window_rollout

KEY = jax.random.key(0)
SMALL = {"in_channels": 2, "out_channels": 1, "width": 8, "depth": 1, "heads": 2, "head_width": 4}
ISOTROPIC = {
    "num_dims": 3,
    "in_channels": 40,
    "out_channels": 8,
    "in_frames": 10,
    "heads": 6,
    "kernel_multiplier": 3,
    "latent_steps": 2,
    "latent_ratio": 1.5,
}
SMOKE = ISOTROPIC | {
    "in_channels": 16,
    "in_frames": 4,
    "out_channels": 16,
    "latent_steps": 4,
    "depth": 3,
    "norm_groups": 12,
    "padding": 2,
    "branch": True,
}


def count(function, *arguments, **options):
    """Trained numbers of what `function` would build."""
    build_weights = lambda key: eqx.filter(m := function(*arguments, **options, key=key), trainable(m))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(eqx.filter_eval_shape(build_weights, KEY)))


@pytest.mark.parametrize(
    ("dims", "options", "expected"),
    [
        (2, {"heads": 8}, 820_736),
        (2, {"heads": 12}, 1_148_416),
        (3, {"heads": 6, "kernel_multiplier": 3}, 1_214_592),
    ],
)
def test_parameter_counts_of_blocks(dims, options, expected):
    """Acceptance 1."""
    assert count(FactorizedAttention, dims, 128, 128, head_width=64, **options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"in_channels": 10, "out_channels": 4, "latent_steps": 4, "norm_groups": 16, "feature_scale": 8}, 3_463_489),
        ({"in_channels": 1, "out_channels": 1, "heads": 12, "depth": 3, "branch": True}, 3_749_953),
        (ISOTROPIC, 5_093_188),
        (SMOKE, 4_501_764),
    ],
)
def test_parameter_counts_of_published_models(options, expected):
    """Acceptance 1."""
    assert count(FactFormer, **options) == expected


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"branch": True, "boundary_condition": "dirichlet"}, (7, 6)),
        ({"num_dims": 1, "periodic": True, "latent_steps": 2, "out_channels": 4, "softmax": True, "extent": (2,)}, (9,)),
        ({"num_dims": 3, "in_frames": 2, "latent_steps": 1, "padding": 1, "rotary": False, "branch": True}, (3, 4, 3)),
    ],
)
def test_every_way_of_calling_agrees_and_every_parameter_is_used(options, shape):
    model = FactFormer(**SMALL | options, key=KEY)
    assert build(spec_of(model), key=KEY) == model
    u = jax.random.normal(KEY, (2, 2, *shape))

    @eqx.filter_jit
    def run(model, u):
        slope = eqx.filter_grad(lambda m: jnp.sum(jnp.sin(3 * m(u[0]))))(model)
        return model.batched(u), jax.vmap(model)(u), slope

    batched, mapped, slope = run(model, u)
    np.testing.assert_allclose(batched, mapped, atol=1e-12)
    for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(slope, trainable(slope))):
        assert jnp.any(leaf != 0), jax.tree_util.keystr(path)


@pytest.mark.parametrize(("dtype", "bound"), [(jnp.float32, 1e-3), (jnp.bfloat16, 0.2)])
def test_lower_precision_follows_the_input(dtype, bound):
    model = FactFormer(**SMALL, feature_scale=0.1, key=KEY)
    model = eqx.tree_at(lambda m: [k.query.weight for k in m.attentions[0].axis_kernels], model, replace_fn=lambda w: 1e4 * w)
    call, u = eqx.filter_jit(model), jax.random.normal(KEY, (2, 6, 6))
    low, exact = call(u.astype(dtype)), call(u.astype(dtype).astype(float))
    assert low.dtype == dtype
    assert jnp.linalg.norm(low.astype(float) - exact) < bound * jnp.linalg.norm(exact)


def test_marching_is_pointwise():
    """Acceptance 6."""
    marcher = LatentMarcher(8, 4, 3, key=KEY)
    z, order = jax.random.normal(KEY, (8, 10)), jax.random.permutation(KEY, 10)
    march = eqx.filter_jit(lambda m, z: jnp.stack(m(z, 3)))
    np.testing.assert_allclose(march(marcher, z[:, order]), march(marcher, z)[..., order], atol=1e-12)
    last = lambda m: (m.steps, m.propagator.layers[-1].weight, m.propagator.layers[-1].bias)
    still = eqx.tree_at(last, marcher, replace_fn=jnp.zeros_like)
    np.testing.assert_array_equal(march(still, z), jnp.stack([z] * 3))


def test_frames_that_stand_still_and_fewer_of_them():
    """Acceptance 6 for the whole model; and each call's first frames do not depend on how many there are."""
    model = FactFormer(**SMALL | {"out_channels": 6}, latent_steps=3, key=KEY)
    u, call = jax.random.normal(KEY, (2, 5, 6)), eqx.filter_jit(lambda m, u: m(u))
    two = model.with_latent_steps(2)
    assert two.out_channels == 4 and two.with_latent_steps(3).latent_steps == 3
    np.testing.assert_allclose(call(two, u), call(model, u)[:4], atol=1e-12)
    last = lambda m: (
        m.head.marcher.steps,
        m.head.marcher.propagator.layers[-1].weight,
        m.head.marcher.propagator.layers[-1].bias,
    )
    frames = call(eqx.tree_at(last, model, replace_fn=jnp.zeros_like), u)
    np.testing.assert_array_equal(frames[:2], frames[2:4])
    np.testing.assert_array_equal(frames[:2], frames[4:])
    with pytest.raises(ConfigError, match="from 1 to the stored 3, got 4"):
        model.with_latent_steps(4)
    with pytest.raises(ConfigError, match=r"with_latent_steps\(2\) needs a head that marches. Build the model with latent_steps"):
        FactFormer(**SMALL, key=KEY).with_latent_steps(2)


def test_frames_of_every_call_follow_each_other():
    """A rollout of a model that emits two frames per call, against the calls by hand; the last frame of the third is left out."""
    model = FactFormer(**SMALL | {"in_channels": 3, "out_channels": 2}, latent_steps=2, key=KEY)
    window, call = jax.random.normal(KEY, (3, 1, 5, 6)), eqx.filter_jit(model)
    found = jax.jit(lambda w: window_rollout(model, w, 5, frames=model.latent_steps))(window)
    frames = list(window[:, 0])
    for _ in range(3):
        frames += list(call(jnp.stack(frames[-3:])))
    np.testing.assert_allclose(found[:, 0], jnp.stack(frames[3:8]), atol=1e-12)


def test_boundary_is_zero_and_the_gradient_reaches_the_interior():
    """Acceptance 9."""
    model = FactFormer(**SMALL, boundary_condition="dirichlet", key=KEY)
    u, y = jax.random.normal(KEY, (2, 6, 7)), jnp.ones((1, 6, 7))

    @eqx.filter_jit
    def run(model):
        slope = eqx.filter_grad(lambda m: relative_l2(m(u), y))(model)
        return model(u), FactFormer.at(eqx.tree_at(lambda m: m.head.output.bias, model, jnp.full(1, 7.0)), u, axes), slope

    axes = jnp.linspace(0, 1, 6), jnp.linspace(0, 1, 7)
    v, shifted, slope = run(model)
    ring = np.ones((6, 7), bool)
    ring[1:-1, 1:-1] = False
    assert np.all(np.asarray(v)[0, ring] == 0) and np.all(np.asarray(v)[0, ~ring] != 0)
    np.testing.assert_allclose((shifted - v)[0, 1:-1, 1:-1], 7 - model.head.output.bias[0], atol=1e-12)
    assert jnp.all(slope.head.output.weight != 0) and jnp.any(slope.lifting.weight != 0)


def test_periodic_positions_repeat_with_the_box():
    model = FactFormer(**SMALL, periodic=True, extent=(2, 3), feature_scale=2, key=KEY)
    u, call = jax.random.normal(KEY, (2, 4, 6)), eqx.filter_jit(lambda u, x, y: model.at(u, (x, y)))
    x, y = jnp.arange(4) / 2, jnp.arange(6) / 2
    v = call(u, x, y)
    np.testing.assert_allclose(v, eqx.filter_jit(model)(u), atol=1e-12)
    np.testing.assert_allclose(call(u, x.at[1].add(2), y.at[2].add(-3)), v, atol=1e-9)


def test_branch_of_a_periodic_model_is_periodic():
    """Without the waves, which see where a point is: a shift by two points, one of the coarser grid, goes through the model."""
    model = FactFormer(**SMALL, periodic=True, branch=True, feature_scale=0, key=KEY)
    u, call = jax.random.normal(KEY, (2, 8, 6)), eqx.filter_jit(model)
    shifted = lambda a: jnp.roll(a, (2, -4), (1, 2))
    np.testing.assert_allclose(call(shifted(u)), shifted(call(u)), atol=1e-10)


def test_overfits_a_few_samples():
    """Acceptance 10, in a small form."""
    model = FactFormer(**SMALL | {"in_channels": 1, "width": 16, "head_width": 8}, boundary_condition="dirichlet", key=KEY)
    u = jnp.where(jax.random.normal(KEY, (2, 1, 8, 8)) > 0, 12.0, 3.0).astype(jnp.float32) / 10
    x = jnp.linspace(0, 1, 8, dtype=jnp.float32)
    y = (jnp.sin(jnp.pi * x)[:, None] * jnp.sin(jnp.pi * x)[None])[None, None] / u.mean((2, 3), keepdims=True)
    weights, rest = eqx.partition(jax.tree.map(lambda a: a.astype(jnp.float32), model), trainable(model))
    optimizer = optax.adam(3e-3)

    @jax.jit
    def train(weights):
        loss = lambda w: jnp.mean(jax.vmap(relative_l2)(eqx.combine(w, rest).batched(u), y))

        def step(carry, _):
            value, slope = jax.value_and_grad(loss)(carry[0])
            updates, state = optimizer.update(slope, carry[1])
            return (eqx.apply_updates(carry[0], updates), state), value

        return jax.lax.scan(step, (weights, optimizer.init(weights)), length=300)[1]

    losses = train(weights)
    assert losses[-1] < 2e-2 < losses[0], (losses[0], losses[-1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 7}, "width must be even"),
        ({"width": 12, "latent_steps": 1}, "groups need a multiple of 8 channels, width has 12"),
        ({"latent_steps": 2}, "out_channels 1 must be a multiple of latent_steps 2"),
        ({"latent_steps": 1, "max_latent_steps": 0}, "max_latent_steps must be an integer of at least 1"),
        ({"latent_steps": 2, "out_channels": 2, "max_latent_steps": 1}, "less than latent_steps 2"),
        ({"in_frames": 3}, "in_channels 2 must be a multiple of in_frames 3"),
        ({"in_frames": 1, "width": 10}, "multiple of 4, twice the channels"),
        ({"periodic": True, "padding": 1}, "not periodic"),
        ({"extent": (1, 2, 3)}, "extent must be one number"),
        ({"boundary_condition": "zero"}, "boundary_condition must be one of None, 'dirichlet', got 'zero'"),
        ({"max_latent_steps": 4}, "max_latent_steps 4 is for a head that marches. Set latent_steps"),
        ({"latent_steps": -1}, "latent_steps must be an integer of at least 0"),
        ({"num_dims": 6}, "num_dims must be one of 1, 2, 3, 4, got 6"),
        ({"feature_scale": -1}, "feature_scale must be one number from 0 to 1e\\+06, got -1"),
        ({"norm_groups": 3}, "3 groups need a multiple of 3 channels"),
        ({"head_width": 3, "kernel_multiplier": 1}, "rotary encoding turns pairs"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(ConfigError, match=words):
        eqx.filter_eval_shape(FactFormer, **SMALL | options, key=KEY)


def test_coordinates_of_another_grid():
    model = FactFormer(**SMALL, padding=1, key=KEY)
    with pytest.raises(ModelInputError, match=r"coordinates of \(6, 5\) points per axis, padding counted, got \(5, 5\)"):
        model.at(jnp.ones((2, 5, 4)), (jnp.ones(5), jnp.ones(5)))
    assert count_parameters(model) < sum(leaf.size for leaf in jax.tree.leaves(model))
