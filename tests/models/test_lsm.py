import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.errors import ConfigError, DataError, ModelInputError
from neuralop_jax.layers import BatchNorm, Buffer, patch_and_padding, patchify
from neuralop_jax.losses import relative_l2
from neuralop_jax.metrics import relative_l2 as measured_l2
from neuralop_jax.models import LSM, Normalized, build, calibrate, count_parameters, has_batch_norm, spec_of
from neuralop_jax.normalizers import GaussianNormalizer

KEY = jax.random.key(0)
run = eqx.filter_jit(lambda model, u: model.batched(u))
PUBLISHED = {  # grid, patch, padding, channels in and out, width, parameters
    "darcy": ((85, 85), (6, 6), (11, 11), 1, 1, 64, 19_187_457),
    "navier_stokes": ((64, 64), (4, 4), (0, 0), 10, 1, 64, 19_188_033),
    "airfoil": ((221, 51), (14, 4), (3, 13), 2, 1, 32, 4_812_833),
    "pipe": ((129, 129), (9, 9), (15, 15), 2, 1, 48, 10_804_913),
    "elasticity": ((41, 41), (3, 3), (7, 7), 1, 1, 32, 4_812_801),
    "plasticity": ((101, 31, 20), (7, 2, 2), (11, 1, 12), 1, 4, 32, 13_457_828),
}


def small(**options):
    defaults = {"in_channels": 1, "out_channels": 1, "num_dims": 2, "width": 4, "num_scales": 2, "num_heads": 2, "num_basis": 3}
    return LSM(**{**defaults, **options}, key=KEY)


def untrained(model):
    is_buffer = lambda leaf: isinstance(leaf, Buffer)  # noqa: E731
    return sum(leaf.value.size for leaf in jax.tree.leaves(model, is_leaf=is_buffer) if is_buffer(leaf))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_of_the_published_networks(name):
    """Acceptance 1."""
    grid, _, _, in_channels, out_channels, width, expected = PUBLISHED[name]
    options = {"in_channels": in_channels, "out_channels": out_channels, "num_dims": len(grid), "width": width, "norm": "batch"}
    model = eqx.filter_eval_shape(LSM, **options, key=KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")) - untrained(model) == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_patches_and_padding_of_the_published_grids(name):
    """Acceptance 2 and 8: 16 patches per axis at the finest scale, one at the coarsest."""
    grid, patch, padding, *_ = PUBLISHED[name]
    assert patch_and_padding(grid, 5) == (patch, padding)
    padded = tuple(n + w for n, w in zip(grid, padding, strict=True))
    assert padded == tuple(16 * p for p in patch)
    for scale in range(5):
        coarse = jax.ShapeDtypeStruct((1, *(n >> scale for n in padded)), jnp.float32)
        assert len(jax.eval_shape(lambda u: patchify(u, patch), coarse)) == (16 >> scale) ** len(grid)


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (32, 100), (421, 16)])
def test_every_grid_is_padded_and_cropped_back(shape):
    """Acceptance 2."""
    patch, padding = patch_and_padding(shape, 5)
    assert all((n + w) % (16 * p) == 0 and 0 <= w < 16 * p for n, w, p in zip(shape, padding, patch, strict=True))
    model = eqx.filter_eval_shape(LSM, in_channels=1, out_channels=2, num_dims=2, width=8, key=KEY)
    assert eqx.filter_eval_shape(model, jax.ShapeDtypeStruct((1, *shape), jnp.float32)).shape == (2, *shape)


def test_the_padding_is_beyond_the_far_ends():
    """Acceptance 2: with an identity for network, what is cropped is what was lifted, bit by bit."""
    model = small(projection_channels=4)
    network = eqx.tree_at(lambda m: m.network, model, lambda v, patch, training: v)
    u = jax.random.normal(KEY, (1, 5, 7))
    np.testing.assert_array_equal(network(u), model.projection(_lifted(model, u)))


def _lifted(model, u):
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in u.shape[1:]], indexing="ij")
    return model.lifting(jnp.concatenate([u, jnp.asarray(np.stack(axes))]))


OPTIONS = [
    {},
    {"norm": "instance", "num_scales": 2},
    {"norm": "batch", "frequencies": "integer"},
    {"num_dims": 1, "patch": 2, "padding": 0},
    {"num_dims": 3, "coordinates": False, "lifting_channels": 6, "lifting_activation": "silu"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ",".join(o) or "plain")
def test_every_option(options):
    """Builds from its specification and back, samples are apart, single precision agrees, and every leaf matters."""
    model = small(**options)
    rebuilt = build(spec_of(model), key=KEY)
    assert spec_of(rebuilt) == spec_of(model)
    u = jax.random.normal(KEY, (2, 1, *(8, 6, 4)[: model.num_dims]))

    @eqx.filter_jit
    def evaluate(model, u):
        gradient = eqx.filter_grad(lambda m: jnp.sum(m.batched(u, key=jax.random.split(KEY, 2)) ** 2))(model)
        return model.batched(u), model(u[1]), gradient

    several, one, gradient = evaluate(rebuilt, u)
    np.testing.assert_allclose(several[1], one, atol=1e-12)
    for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(gradient, eqx.is_inexact_array)):
        assert jnp.any(leaf != 0), jax.tree_util.keystr(path)
    low = run(model, u.astype(jnp.float32)) if not options else None
    if low is not None:
        assert low.dtype == jnp.float32
        np.testing.assert_allclose(low, several, atol=1e-4)


def test_a_batch_in_training_is_normalized_together():
    model = small(norm="batch")
    u = jax.random.normal(KEY, (3, 1, 6, 6))
    train = eqx.filter_jit(lambda m, u: m.batched(u, key=jax.random.split(KEY, len(u))))
    assert not np.allclose(train(model, u)[:1], train(model, u[:1]))
    np.testing.assert_allclose(run(model, u)[:1], run(model, u[:1]), atol=1e-12)


def test_a_calibrated_network_knows_its_training_batch():
    """With one batch, the network in use is the network in training, but for the unbiased variance."""
    model = small(norm="batch")
    u = 3 + 2 * jax.random.normal(KEY, (3, 1, 12, 12))
    physical = Normalized(
        model, GaussianNormalizer(jnp.asarray([3.0]), jnp.asarray([2.0])), GaussianNormalizer(jnp.zeros(1), jnp.ones(1))
    )
    calibrated = calibrate(physical, [u])
    in_training = eqx.filter_jit(lambda m, u: m.batched(u, key=jax.random.split(KEY, len(u))))(physical, u)
    np.testing.assert_allclose(run(calibrated, u), in_training, rtol=0.02, atol=0.02)
    assert np.linalg.norm(run(physical, u) - in_training) > 10 * np.linalg.norm(run(calibrated, u) - in_training)
    halves, first, second = (calibrate(physical, batches) for batches in ([u[:1], u[1:2]], [u[:1]], [u[1:2]]))
    statistics = lambda m: np.asarray(m.model.network.up[0].norms[1].variance.value)  # noqa: E731
    np.testing.assert_allclose(statistics(halves), (statistics(first) + statistics(second)) / 2, rtol=1e-6)
    assert eqx.tree_equal(eqx.filter(calibrated, eqx.is_inexact_array).model.lifting, model.lifting)


def test_what_has_no_batch_norm_is_not_measured():
    model = small()
    assert not has_batch_norm(model) and has_batch_norm(BatchNorm(2))
    assert calibrate(model, iter(lambda: pytest.fail("read"), None)) is model
    with pytest.raises(DataError, match="at least one batch"):
        calibrate(small(norm="batch"), [])


def test_frames_are_predicted_one_after_the_other():
    """Acceptance 9: a window of three frames, four calls; the last loss feels the first frame, the metric is that of the block."""
    model = small(in_channels=3)
    frames = jax.random.normal(KEY, (3, 8, 8))
    truth = jax.random.normal(jax.random.key(1), (4, 8, 8))

    def unroll(first):
        def call(window, _):
            new = model(window)
            return jnp.concatenate([window[1:], new]), new[0]

        return jax.lax.scan(call, jnp.concatenate([first[None], frames[1:]]), length=4)[1]

    def last_loss(first):
        return relative_l2(unroll(first)[-1:], truth[-1:])

    block, gradient = jax.jit(lambda first: (unroll(first), jax.grad(last_loss)(first)))(frames[0])
    assert jnp.any(gradient != 0) and jnp.all(jnp.isfinite(gradient))
    by_hand = np.sqrt(np.sum((np.asarray(block) - np.asarray(truth)) ** 2)) / np.sqrt(np.sum(np.asarray(truth) ** 2))
    np.testing.assert_allclose(measured_l2(block, truth, None, joint=True)[0], by_hand, rtol=1e-12)


def test_few_samples_are_learned_by_heart():
    """Acceptance 10, in small."""
    model = small(width=8, num_heads=4)
    u = jax.random.normal(KEY, (4, 1, 8, 8), jnp.float32)
    target = jnp.cumsum(u, -1) / 4
    optimizer = optax.adam(1e-2)

    @eqx.filter_jit
    def learn(model):
        weights, rest = eqx.partition(
            jax.tree.map(lambda a: a.astype(jnp.float32) if eqx.is_array(a) else a, model), eqx.is_array
        )
        loss = lambda w: jnp.mean(jax.vmap(relative_l2)(eqx.combine(w, rest).batched(u), target))

        def step(carry, _):
            value, gradient = jax.value_and_grad(loss)(carry[0])
            updates, state = optimizer.update(gradient, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), value

        return jax.lax.scan(step, (weights, optimizer.init(weights)), length=300)[1]

    values = learn(model)
    assert values[0] > 0.5 and values[-1] < 0.1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"norm": "layer"}, "norm must be one of"),
        ({"num_heads": 0}, "num_heads must be an integer of at least 1"),
        ({"num_heads": 3}, "num_heads must divide the width 4"),
        ({"num_dims": 4}, "num_dims must be 1 to 3"),
        ({"num_scales": 40}, "num_scales must be at most 12"),
        ({"patch": (2, 2, 2)}, "patch must be one whole number"),
        ({"padding": -1}, "padding must be one whole number"),
        ({"lifting_activation": "gleu"}, "activation must be one of"),
    ],
)
def test_what_a_network_cannot_be(options, words):
    with pytest.raises(ConfigError, match=words):
        small(**options)


def test_given_patches_that_do_not_fit_are_refused():
    with pytest.raises(
        ModelInputError, match=r"^LSM: patches of \(3, 3\) points do not divide the \(4, 4\) points of scale 1 of 2"
    ):
        small(patch=3, padding=0)(jnp.ones((1, 9, 9)))
    assert patch_and_padding((9, 9), 2, patch=3) == ((3, 3), (3, 3))
    assert count_parameters(small()) == count_parameters(small(patch=3))
