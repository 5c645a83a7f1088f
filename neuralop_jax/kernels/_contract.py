"""Products over the channels of every mode, in real arithmetic on separate real and imaginary parts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST


def contract_dense(
    coefficients: Float[Array, "2 *modes_batch in"], weight: tuple[Float[Array, "*modes in out"], Float[Array, "*modes in out"]]
) -> Float[Array, "2 *modes_batch out"]:
    r"""$\hat v_{k,o} = \sum_i R_{k,i,o}\, \hat u_{k,i}$, complex, for every mode $k$ and every sample between modes and channels.

    Both parts of the coefficients, and all samples, are rows of one product with each part of the weight: the weight, by far the
    largest operand, is read once and never copied.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.kernels import contract_dense, contract_separable

        c = jax.random.normal(jax.random.key(0), (2, 5, 3))  # five modes, three channels
        ones, zeros = jnp.ones((5, 3)), jnp.zeros((5, 3))
        turned = contract_separable(c, (zeros, ones))  # times i
        assert jnp.allclose(turned[0], -c[1]) and jnp.allclose(turned[1], c[0])
        diagonal = jnp.broadcast_to(jnp.eye(3), (5, 3, 3))
        assert jnp.allclose(contract_dense(c, (0 * diagonal, diagonal)), turned, atol=1e-6)
        ```
    """
    real, imaginary = coefficients
    by_real, by_imaginary = weight
    modes = by_real.ndim - 2
    straight, turned = (jnp.stack(parts, modes) for parts in ((real, imaginary), (-imaginary, real)))
    rows = lambda part: part.reshape(*part.shape[:modes], -1, part.shape[-1])  # (*modes, 2 * batch, in)
    product = jnp.matmul(rows(straight), by_real, precision=_HIGHEST) + jnp.matmul(rows(turned), by_imaginary, precision=_HIGHEST)
    return jnp.moveaxis(product.reshape(*straight.shape[:-1], -1), modes, 0)


def contract_separable(
    coefficients: Float[Array, "2 *modes_batch channels"],
    weight: tuple[Float[Array, "*modes channels"], Float[Array, "*modes channels"]],
) -> Float[Array, "2 *modes_batch channels"]:
    r"""$\hat v_{k,c} = R_{k,c}\, \hat u_{k,c}$, complex: every channel keeps to itself."""
    a, b = coefficients
    samples = range(weight[0].ndim - 1, a.ndim - 1)
    c, d = (jnp.expand_dims(part, tuple(samples)) for part in weight)
    return jnp.stack([a * c - b * d, a * d + b * c])
