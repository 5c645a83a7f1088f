"""Correlation with a small kernel on a uniform grid."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of

BOUNDARY_RULES = ("zeros", "reflect", "replicate", "periodic")
"""What is read beyond the edge: nothing, the field mirrored at its last point, its last value, or its other end."""

_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "periodic": "wrap"}
_SPACE = "DHWX"
_GATHERED_BYTES = 2**23


def convolve(
    u: Float[Array, "in *batch_space"],
    weight: Float[Array, "out in *kernel"],
    *,
    stride: int = 1,
    padding: int | Sequence[tuple[int, int]] = 0,
    boundary: str = "zeros",
) -> Float[Array, "out *batch_out_space"]:
    r"""$v_o(x_i) = \sum_c \sum_k W_{ock}\, u_c(x_{s i + k - r})$ with stride $s$ and `padding` $r$.

    On CPU this is a product of matrices: within loops, such as the one over training steps, XLA's own convolution takes five to
    forty times as long there as outside of them.

    **Arguments:**

    - `u`: one sample, `(channels, *space)`, or several behind the channels, `(channels, batch, *space)`.
    - `weight`: $W$, a kernel of any size on each of one to four axes.
    - `padding`: points added on both sides of every axis, or before and after each.
    - `boundary`: what they hold, one of `BOUNDARY_RULES`.

    **Raises:** `ValueError` for another boundary, or if an axis has too few points to be reflected.

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
    dims = weight.ndim - 2
    several, space = u.ndim > dims + 1, u.shape[u.ndim - dims :]
    widths = ((padding, padding),) * dims if isinstance(padding, int) else tuple(padding)
    if boundary == "reflect" and any(max(w) >= n for w, n in zip(widths, space, strict=True)):
        raise ValueError(
            f"boundary 'reflect' needs more points than the padding {widths} on each axis, got {space}. Refine the grid."
        )
    u = u if several else u[:, None]
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
    """All points that a kernel reads, one under the other, times the kernel; where they are many, one shift after the other."""
    kernel = weight.shape[2:]
    space = tuple((n - k) // stride + 1 for n, k in zip(u.shape[2:], kernel, strict=True))

    def shifted(offsets: tuple[int, ...]) -> Array:
        window = (slice(k, k + stride * (n - 1) + 1, stride) for k, n in zip(offsets, space, strict=True))
        return u[(slice(None), slice(None), *window)].reshape(len(u), -1)

    offsets = list(itertools.product(*map(range, kernel)))
    matrices = jnp.moveaxis(weight.reshape(*weight.shape[:2], -1), 2, 0)
    if u.dtype.itemsize * len(u) * len(offsets) * u.shape[1] * math.prod(space) <= _GATHERED_BYTES:
        rows = jnp.concatenate([shifted(o) for o in offsets])
        v = jnp.moveaxis(matrices, 0, 1).reshape(len(weight), -1) @ rows
    else:
        v = sum(matrix @ shifted(o) for matrix, o in zip(matrices, offsets, strict=True))
    return jnp.reshape(v, (len(weight), u.shape[1], *space))
