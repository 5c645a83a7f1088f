"""From a grid to one of half or twice the points per axis, as convolutional networks of several scales do."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def upsample(u: Float[Array, "*batch_space"], num_dims: int) -> Float[Array, "*batch_out_space"]:
    r"""The (bi-, tri-)linear interpolant on $2n$ points for every $n$ of the last `num_dims` axes, ends kept.

    Point $j$ of the finer axis lies at $j(n-1)/(2n-1)$ of the coarser one; a single point is repeated. This is
    `torch.nn.Upsample(scale_factor=2, align_corners=True)`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import upsample

        assert jnp.allclose(upsample(jnp.asarray([0.0, 3.0]), 1), jnp.asarray([0.0, 1.0, 2.0, 3.0]))
        ```
    """
    for _ in range(num_dims):  # the first axis is contracted and comes back as the last: after all of them the order is as before
        matrix = jnp.asarray(_doubling(u.shape[u.ndim - num_dims]), u.dtype)
        u = jnp.tensordot(u, matrix, ((u.ndim - num_dims,), (1,)))
    return u


def max_pool(u: Float[Array, "*batch_space"], num_dims: int) -> Float[Array, "*batch_out_space"]:
    """The largest of every two neighbors along each of the last `num_dims` axes; the last point of an odd axis is left out.

    Of equal values the first one has the derivative, as in PyTorch.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import max_pool

        assert max_pool(jnp.asarray([1.0, 4.0, 3.0, 2.0, 9.0]), 1).tolist() == [4.0, 3.0]
        ```
    """
    for axis in reversed(range(u.ndim - num_dims, u.ndim)):
        end = u.shape[axis] // 2 * 2
        first, second = (u[(slice(None),) * axis + (slice(start, end, 2),)] for start in (0, 1))
        u = jnp.where(first >= second, first, second)
    return u


def _doubling(points: int) -> np.ndarray:
    """The matrix `(2 * points, points)` of linear interpolation with both ends kept."""
    place = np.arange(2 * points) * (points - 1) / (2 * points - 1)
    left = np.minimum(np.floor(place).astype(int), max(points - 2, 0))
    matrix = np.zeros((2 * points, points))
    rows = np.arange(2 * points)
    matrix[rows, left] += 1 - (place - left)
    matrix[rows, np.minimum(left + 1, points - 1)] += place - left
    return matrix
