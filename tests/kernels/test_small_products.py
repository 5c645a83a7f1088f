import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.kernels import small_products

product = jax.jit(small_products)


def factors(m, k, l, n, *batch):
    keys = jax.random.split(jax.random.key(0))
    return jax.random.normal(keys[0], (*batch, m, k, n)), jax.random.normal(keys[1], (*batch, k, l, n))


@pytest.mark.parametrize("m, k, l", [(4, 5, 3), (1, 1, 2), (2, 65, 3)], ids=["few terms", "one", "many terms"])
def test_a_product_for_every_last_index(m, k, l):
    a, b = factors(m, k, l, 7, 2)
    expected = np.moveaxis(np.moveaxis(a, -1, 0) @ np.moveaxis(b, -1, 0), 0, -1)
    np.testing.assert_allclose(product(a, b), expected, atol=1e-13)


def test_derivatives_are_those_of_the_plain_product():
    """Forward, reverse, second order and batched: the rule is made of products that are linear in the tangents."""
    a, b = factors(3, 4, 2, 5)
    plain = lambda a, b: jnp.einsum("mkn,kln->mln", a, b)
    energy = lambda f: lambda a, b: jnp.sum(jnp.sin(f(a, b)))
    every = lambda f: (
        jax.grad(energy(f), (0, 1))(a, b),
        jax.jvp(f, (a, b), (b[:3, :1].repeat(4, 1), a[:1].repeat(4, 0)[:, :2])),
        jax.jvp(jax.grad(energy(f)), (a, b), (a, b)),
        jax.vmap(jax.grad(energy(f)))(jnp.stack([a, 2 * a]), jnp.stack([b, b])),
    )
    ours, theirs = jax.jit(lambda: (every(small_products), every(plain)))()
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-12), ours, theirs)
