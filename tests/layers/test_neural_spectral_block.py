import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import NeuralSpectralBlock, patchify, trigonometric_step, unpatchify

KEY = jax.random.key(0)
run = eqx.filter_jit(lambda block, u, patch: block(u, patch))


@pytest.mark.parametrize("patch", [(6, 6), (14, 4), (7, 2, 2), (5,)])
def test_patches_are_put_back_where_they_were(patch):
    """Acceptance 3, at all five scales."""
    for scale in range(5):
        shape = tuple(p * 2 ** (4 - scale) // (1 if len(patch) < 3 else 2 ** min(4 - scale, 2)) for p in patch)
        for several in ((), (2,)):
            u = np.random.default_rng(0).normal(size=(3, *several, *shape))
            v = patchify(jnp.asarray(u), patch)
            assert v.shape == (u.size // 3 // np.prod(patch), 3, np.prod(patch))
            np.testing.assert_array_equal(unpatchify(v, u.shape, patch), u)


def test_a_patch_is_a_box():
    u = jnp.arange(24.0).reshape(1, 4, 6)
    np.testing.assert_array_equal(patchify(u, (2, 3))[1, 0], [3, 4, 5, 9, 10, 11])
    np.testing.assert_array_equal(patchify(jnp.stack([u, u + 100], 1), (2, 3))[6, 0], [112, 113, 114, 118, 119, 120])


def attention(block, u):
    """The block on one patch `(width, points)`, written out with keys, values and queries at every point."""
    heads, _, size = block.queries.shape
    split = lambda v: v.reshape(heads, size, -1)
    keys, values = (split(v) for v in np.split(block.encode.weight @ u + block.encode.bias[:, None], 2))
    score = np.exp(np.einsum("hmc,hcp->hmp", block.queries, keys))
    tokens = np.einsum("hmp,hcp->hmc", score / score.sum(-1, keepdims=True), values) + block.queries
    flat = np.moveaxis(tokens, 1, 0).reshape(-1, heads * size)
    waves = np.pi * np.arange(len(block.sines)) / len(block.sines)
    angles = waves[:, None, None] * flat
    solved = flat + np.sum(block.sines[:, None] * np.sin(angles) + block.cosines[:, None] * np.cos(angles), 0)
    solved = np.moveaxis(solved.reshape(-1, heads, size), 0, 1)
    score = np.exp(np.einsum("hcp,hmc->hpm", split(block.decode.weight @ u + block.decode.bias[:, None]), solved))
    return u + np.einsum("hpm,hmc->hcp", score / score.sum(-1, keepdims=True), solved).reshape(u.shape)


def test_the_block_is_attention_to_tokens_patch_by_patch():
    block = NeuralSpectralBlock(8, num_tokens=3, num_basis=5, num_heads=2, key=KEY)
    u = jax.random.normal(KEY, (8, 2, 4, 6), jnp.float64)
    out = run(block, u, (2, 3))
    single = jax.tree.map(lambda a: np.asarray(a, np.float64) if eqx.is_array(a) else a, block)
    for sample, row, column in ((0, 0, 0), (1, 1, 0), (1, 0, 1)):
        cut = np.s_[:, sample, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        np.testing.assert_allclose(out[cut].reshape(8, -1), attention(single, np.asarray(u[cut].reshape(8, -1))), atol=1e-6)


def test_a_point_is_felt_in_its_patch_only():
    """Acceptance 4."""
    block = NeuralSpectralBlock(8, key=KEY)
    u = jax.random.normal(KEY, (8, 4, 6))
    changed = np.any(run(block, u.at[:, 2, 1].add(1.0), (2, 3)) != run(block, u, (2, 3)), 0)
    inside = np.zeros((4, 6), bool)
    inside[2:, :3] = True
    assert not changed[~inside].any() and changed[inside].all()


def test_order_of_tokens_and_of_points_does_not_matter():
    """Acceptance 5."""
    block = NeuralSpectralBlock(8, key=KEY)
    u = jax.random.normal(KEY, (8, 6))
    permuted = eqx.tree_at(lambda b: b.queries, block, block.queries[:, jnp.asarray([2, 0, 3, 1])])
    np.testing.assert_allclose(run(permuted, u, (6,)), run(block, u, (6,)), atol=1e-12)
    order = jnp.asarray([3, 5, 0, 1, 4, 2])
    np.testing.assert_allclose(run(block, u[:, order], (6,)), run(block, u, (6,))[:, order], atol=1e-12)


def test_the_step_with_few_coefficients():
    """Acceptance 6."""
    t = jax.random.normal(KEY, (5, 3))
    none = jnp.zeros((4, 3))
    np.testing.assert_array_equal(trigonometric_step(t, none, none, "released"), t)
    constant = none.at[0].set(jnp.asarray([1.0, 2.0, -3.0]))
    for frequencies, cosines in (("released", constant), ("integer", jnp.concatenate([constant, none[:1]]))):
        np.testing.assert_allclose(trigonometric_step(t, none, cosines, frequencies), t + constant[:1], atol=1e-14)
    loss = lambda sines, frequencies, cosines: jnp.sum(trigonometric_step(t, sines, cosines, frequencies) ** 2)
    gradient = jax.grad(loss)(constant, "released", constant)
    assert not gradient[0].any() and gradient[1:].all()
    assert jax.grad(loss)(constant, "integer", jnp.zeros((5, 3))).all()
    np.testing.assert_allclose(
        trigonometric_step(t, constant, jnp.zeros((5, 3)), "integer"), t + constant[:1] * jnp.sin(t), atol=1e-14
    )


def test_the_basis_fits_a_smooth_map():
    """Acceptance 7."""
    t = jnp.linspace(-2, 2, 201)[:, None]
    parts = jnp.eye(24).reshape(24, 2, 12, 1)
    columns = jax.vmap(lambda part: trigonometric_step(t, part[0], part[1], "released") - t)(parts)[:, :, 0].T
    coefficients = np.linalg.lstsq(columns, np.asarray(jnp.tanh(t) - t)[:, 0], rcond=None)[0].reshape(2, 12, 1)
    fitted = trigonometric_step(t, jnp.asarray(coefficients[0]), jnp.asarray(coefficients[1]), "released")
    assert jnp.max(jnp.abs(fitted - jnp.tanh(t))) < 1e-5


def test_low_precision_keeps_its_type():
    block = NeuralSpectralBlock(8, key=KEY)
    u = jax.random.normal(KEY, (8, 6))
    v = block(u.astype(jnp.bfloat16), (3,))
    assert v.dtype == jnp.bfloat16
    np.testing.assert_allclose(v.astype(jnp.float64), block(u, (3,)), atol=0.1)


@pytest.mark.parametrize(
    "options, words", [({"num_heads": 3}, "num_heads must divide the width 8"), ({"frequencies": "int"}, "frequencies")]
)
def test_what_a_block_cannot_be(options, words):
    with pytest.raises(ConfigError, match=words):
        NeuralSpectralBlock(8, **options, key=KEY)
