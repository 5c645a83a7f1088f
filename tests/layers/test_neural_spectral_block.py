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
def test_patches_are_put_back_where_they_were(patch, compiled):
    """Acceptance 3, at all five scales."""
    for scale in range(5):
        shape = tuple(p * 2 ** (4 - scale) // (1 if len(patch) < 3 else 2 ** min(4 - scale, 2)) for p in patch)
        for several in ((), (2,)):
            u = np.random.default_rng(0).normal(size=(3, *several, *shape))
            v, back = compiled(lambda u: (v := patchify(u, patch), unpatchify(v, u.shape, patch)), jnp.asarray(u))
            assert v.shape == (u.size // 3 // np.prod(patch), 3, np.prod(patch))
            np.testing.assert_array_equal(back, u)


def test_a_patch_is_a_box(compiled):
    u = np.arange(24.0).reshape(1, 4, 6)
    one, two = (compiled(lambda u: patchify(u, (2, 3)), jnp.asarray(v)) for v in (u, np.stack([u, u + 100], 1)))
    np.testing.assert_array_equal(one[1, 0], [3, 4, 5, 9, 10, 11])
    np.testing.assert_array_equal(two[6, 0], [112, 113, 114, 118, 119, 120])


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
    u = np.random.default_rng(0).normal(size=(8, 2, 4, 6))
    out = np.asarray(run(block, jnp.asarray(u), (2, 3)))
    single = jax.tree.map(lambda a: np.asarray(a, np.float64) if eqx.is_array(a) else a, block)
    for sample, row, column in ((0, 0, 0), (1, 1, 0), (1, 0, 1)):
        cut = np.s_[:, sample, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        np.testing.assert_allclose(out[cut].reshape(8, -1), attention(single, u[cut].reshape(8, -1)), atol=1e-6)


def test_a_point_is_felt_in_its_patch_only():
    """Acceptance 4."""
    block = NeuralSpectralBlock(8, key=KEY)
    u = np.random.default_rng(0).normal(size=(8, 4, 6))
    other = u.copy()
    other[:, 2, 1] += 1
    changed = np.any(np.asarray(run(block, jnp.asarray(other), (2, 3))) != np.asarray(run(block, jnp.asarray(u), (2, 3))), 0)
    inside = np.zeros((4, 6), bool)
    inside[2:, :3] = True
    assert not changed[~inside].any() and changed[inside].all()


def test_order_of_tokens_and_of_points_does_not_matter():
    """Acceptance 5."""
    block = NeuralSpectralBlock(8, key=KEY)
    u = np.random.default_rng(0).normal(size=(8, 6))
    out = lambda block, u: np.asarray(run(block, jnp.asarray(u), (6,)))
    permuted = eqx.tree_at(lambda b: b.queries, block, jnp.asarray(np.asarray(block.queries)[:, [2, 0, 3, 1]]))
    np.testing.assert_allclose(out(permuted, u), out(block, u), atol=1e-12)
    order = [3, 5, 0, 1, 4, 2]
    np.testing.assert_allclose(out(block, u[:, order]), out(block, u)[:, order], atol=1e-12)


def test_the_step_with_few_coefficients():
    """Acceptance 6."""
    t = np.random.default_rng(0).normal(size=(5, 3))
    none, more = np.zeros((4, 3)), np.zeros((5, 3))
    step = jax.jit(trigonometric_step, static_argnums=3)
    np.testing.assert_array_equal(step(t, none, none, "released"), t)
    constant = np.asarray([[1.0, 2.0, -3.0], *none[1:]])
    for frequencies, cosines in (("released", constant), ("integer", np.concatenate([constant, none[:1]]))):
        np.testing.assert_allclose(step(t, none, cosines, frequencies), t + constant[:1], atol=1e-14)
    loss = lambda sines, cosines, frequencies: jnp.sum(step(t, sines, cosines, frequencies) ** 2)
    gradient = lambda *inputs: np.asarray(jax.jit(jax.grad(loss), static_argnums=2)(*inputs))
    released = gradient(constant, constant, "released")
    assert not released[0].any() and released[1:].all()
    assert gradient(constant, more, "integer").all()
    np.testing.assert_allclose(step(t, constant, more, "integer"), t + constant[:1] * np.sin(t), atol=1e-14)


@pytest.mark.parametrize("frequencies", ("released", "integer"))
def test_derivatives_are_those_of_the_written_sum(frequencies):
    """First and second ones, in both modes, by the tokens and by the weights."""
    rng = np.random.default_rng(2)
    t, sines, cosines = (jnp.asarray(rng.normal(size=(rows, 2))) for rows in (3, 4, 4 + (frequencies == "integer")))
    omega = np.arange(4) * np.pi / 4 if frequencies == "released" else np.arange(1, 5)
    waves = np.arange(len(cosines)) * omega[1] if frequencies == "released" else np.arange(5)

    def written(t, sines, cosines):
        phases = lambda rates: rates[:, None, None] * t[None]
        return t + jnp.sum(sines[:, None] * jnp.sin(phases(omega)), 0) + jnp.sum(cosines[:, None] * jnp.cos(phases(waves)), 0)

    def derivatives(f):
        inputs, loss = (t, sines, cosines), lambda *inputs: jnp.sum(f(*inputs) ** 3)
        first = jax.grad(loss, (0, 1, 2))
        forward = jax.jvp(f, inputs, tuple(map(jnp.cos, inputs)))
        return jax.jit(lambda: (first(*inputs), forward, jax.jvp(first, inputs, tuple(map(jnp.sin, inputs)))))()

    found, wanted = derivatives(lambda *inputs: trigonometric_step(*inputs, frequencies)), derivatives(written)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_the_basis_fits_a_smooth_map(compiled):
    """Acceptance 7."""
    t = np.linspace(-2, 2, 201)[:, None]
    step = jax.vmap(lambda part: trigonometric_step(jnp.asarray(t), part[0], part[1], "released"))
    fit = lambda parts: compiled(step, jnp.asarray(np.reshape(parts, (-1, 2, 12, 1))))
    columns = (fit(np.eye(24)) - t)[:, :, 0].T
    fitted = fit(np.linalg.lstsq(columns, (np.tanh(t) - t)[:, 0], rcond=None)[0])[0]
    assert abs(fitted - np.tanh(t)).max() < 1e-5


def test_low_precision_keeps_its_type():
    block = NeuralSpectralBlock(8, key=KEY)
    u = np.random.default_rng(0).normal(size=(8, 6))
    v = run(block, jnp.asarray(u, jnp.bfloat16), (3,))
    assert v.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(v, np.float64), run(block, jnp.asarray(u), (3,)), atol=0.1)


@pytest.mark.parametrize(
    "options, words", [({"num_heads": 3}, "num_heads must divide the width 8"), ({"frequencies": "int"}, "frequencies")]
)
def test_what_a_block_cannot_be(options, words):
    with pytest.raises(ConfigError, match=words):
        NeuralSpectralBlock(8, **options, key=KEY)
