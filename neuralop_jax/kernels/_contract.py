"""Products over the channels of every mode, in real arithmetic on split real and imaginary parts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST


def contract_dense(
    coefficients: Float[Array, "2 *modes in"], weight: Float[Array, "2 *modes in out"]
) -> Float[Array, "2 *modes out"]:
    r"""$\hat v_{k,o} = \sum_i R_{k,i,o}\, \hat u_{k,i}$, complex, for every mode $k$.

    Real and imaginary part of the coefficients are two rows of one batched product with each part of the weight, so that the
    weight, by far the largest operand, is read once and never copied.
    """
    rows = jnp.moveaxis(coefficients, 0, -2)  # (*modes, 2, in)
    rows = jnp.broadcast_to(rows, (2, *rows.shape))
    product = jnp.einsum("s...ri,s...io->s...ro", rows, weight, precision=_HIGHEST)
    by_real, by_imaginary = product[0], product[1]
    real = by_real[..., 0, :] - by_imaginary[..., 1, :]
    imaginary = by_real[..., 1, :] + by_imaginary[..., 0, :]
    return jnp.stack([real, imaginary])


def contract_separable(
    coefficients: Float[Array, "2 *modes channels"], weight: Float[Array, "2 *modes channels"]
) -> Float[Array, "2 *modes channels"]:
    r"""$\hat v_{k,c} = R_{k,c}\, \hat u_{k,c}$, complex: every channel keeps to itself."""
    (a, b), (c, d) = coefficients, weight
    return jnp.stack([a * c - b * d, a * d + b * c])
