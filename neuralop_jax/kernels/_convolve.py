"""Correlation with a small kernel on a uniform grid."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax.kernels._halo import window
from neuralop_jax.kernels._space import is_divided, own_points, whole_shape

BOUNDARY_RULES = ("zeros", "reflect", "replicate", "periodic")
"""What is read beyond the edge: nothing, the field mirrored at its last point, its last value, or its other end."""

_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "periodic": "wrap"}
_SPACE = "DHWX"


def convolve(
    u: Float[Array, "in *batch_space"],
    weight: Float[Array, "out in *kernel"],
    *,
    stride: int = 1,
    padding: int | Sequence[tuple[int, int]] = 0,
    boundary: str = "zeros",
    divided: bool = True,
) -> Float[Array, "out *batch_out_space"]:
    r"""$v_o(x_i) = \sum_c \sum_k W_{ock}\, u_c(x_{s i + k - r})$ with stride $s$ and `padding` $r$.

    On CPU this is a product of matrices: within loops, such as the one over training steps, XLA's own convolution takes five to
    forty times as long there as outside of them.

    **Arguments:**

    - `u`: one sample, `(channels, *space)`, or several behind the channels, `(channels, batch, *space)`.
    - `weight`: $W$, a kernel of any size on each of one to four axes.
    - `padding`: points added on both sides of every axis, or before and after each.
    - `boundary`: what they hold, one of `BOUNDARY_RULES`.
    - `divided`: whether `u` is a block where devices share the domain; otherwise it is a field of its own.

    **Raises:** `ValueError` for another boundary, if an axis has too few points to be reflected, or if devices cannot share the
    points of the result evenly.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import convolve

        difference = jnp.asarray([[[-0.5, 0.0, 0.5]]])
        v = convolve(jnp.asarray([[0.0, 1.0, 4.0, 9.0]]), difference, padding=1, boundary="replicate")
        assert v.tolist() == [[0.5, 2.0, 4.0, 2.5]]
        ```
    """
    one_of("boundary", boundary, BOUNDARY_RULES, ValueError)
    dims, divided = weight.ndim - 2, divided and is_divided()
    several, space = u.ndim > dims + 1, u.shape[u.ndim - dims :]
    space = whole_shape(space) if divided else space
    widths = ((padding, padding),) * dims if isinstance(padding, int) else tuple(padding)
    if boundary == "reflect" and any(max(w) >= n for w, n in zip(widths, space, strict=True)):
        raise ValueError(
            f"boundary 'reflect' needs more points than the padding {widths} on each axis, got {space}. Refine the grid."
        )
    u = u if several else u[:, None]
    if divided:
        reach = own_points((space[0] + sum(widths[0]) - weight.shape[2]) // stride + 1) * stride
        u = window(u, 2, -widths[0][0], reach - stride + weight.shape[2], step=reach, boundary=boundary)
        widths = ((0, 0), *widths[1:])
    if any(map(max, widths)):
        u = jnp.pad(u, ((0, 0), (0, 0), *widths), mode=_PAD_MODES[boundary])
    program = lambda function: lambda u, w: function(u, w, stride)  # noqa: E731
    v = jax.lax.platform_dependent(u, weight.astype(u.dtype), cpu=program(_by_products), default=program(_by_convolution))
    return v if several else v[:, 0]


def _by_convolution(u: Array, weight: Array, stride: int) -> Array:
    letters = _SPACE[: weight.ndim - 2]
    numbers = (f"CN{letters}", f"OI{letters}", f"CN{letters}")
    return jax.lax.conv_general_dilated(u, weight, (stride,) * len(letters), "VALID", dimension_numbers=numbers)


def _by_products(u: Array, weight: Array, stride: int) -> Array:
    """What the kernel reads along the last axis, one under the other, times the kernel; over the other axes products are summed.

    That writes least to memory, unless there are few channels to read: then what it reads along all axes. Where a stride would
    leave out most rows of the products, the sum is one over products of what is left.
    """
    out, in_, *kernel = weight.shape
    rows = math.prod(kernel[:-1])
    summed = len(kernel) - 1 if kernel[-1] * in_ + rows * out < rows * kernel[-1] * in_ else 0
    space = [(n - k) // stride + 1 for n, k in zip(u.shape[2:], kernel, strict=True)]
    window = lambda k, n: slice(k, k + stride * (n - 1) + 1, stride)  # noqa: E731
    offsets = lambda axes: itertools.product(*map(range, axes))  # noqa: E731

    read = [(..., *map(window, o, space[summed:])) for o in offsets(kernel[summed:])]
    columns = jnp.concatenate([u[place] for place in read])
    matrices = jnp.moveaxis(weight.reshape(out, in_, -1, len(read)), (2, 3), (0, 2)).reshape(-1, out, len(columns))
    places = [(slice(None), slice(None), *map(window, o, space[:summed])) for o in offsets(kernel[:summed])]
    if stride == 1:
        product = matrices.reshape(-1, len(columns)) @ columns.reshape(len(columns), -1)
        parts = product.reshape(len(matrices), out, *columns.shape[1:])
        return jnp.asarray(sum(part[place] for part, place in zip(parts, places, strict=True)))
    parts = (matrix @ columns[place].reshape(len(columns), -1) for matrix, place in zip(matrices, places, strict=True))
    return jnp.reshape(sum(parts), (out, u.shape[1], *space))
