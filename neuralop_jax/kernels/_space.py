"""The domain divided among devices: how many share it, which block is here, and sums over all of it.

Inside a `jax.shard_map` over a mesh with an axis named `"space"`, every device holds a block of the first space axis of every
field, blocks of equal size in the order of the devices. That the name is bound is known when a function is traced, from JAX's own
environment: no state is kept here, and outside of such a `shard_map` nothing is added to a program.

Patches that a device has to itself are whole fields again: inside of what `undivided` makes of a function, nothing is divided.

What is the same on all devices, as weights, coefficients and losses are, is invariant in JAX's types (`check_vma=True`, the
default of `shard_map`): the gradient by it is then the sum over the devices.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, Num, PyTree, Shaped

Result = TypeVar("Result")

SPACE = "space"
"""The name of the mesh axis along which devices share the domain."""
_WHOLE = "whole"
"""The name of an axis of length one that `undivided` binds: where it is bound, every device has whole fields of its own."""


def space_size() -> int:
    """How many devices share the domain: 1 outside of a `shard_map` with the axis `"space"`.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import AxisType, PartitionSpec
        from neuralop_jax.kernels import space_size, space_sum

        mesh = jax.make_mesh((1,), ("space",), axis_types=(AxisType.Auto,))  # with more devices, blocks of u are on them
        square = lambda u: space_sum(jnp.sum(u**2))
        divided = jax.shard_map(square, mesh=mesh, in_specs=PartitionSpec("space"), out_specs=PartitionSpec())
        assert divided(jnp.ones(8)) == square(jnp.ones(8)) and space_size() == 1
        ```
    """
    return jax.lax.axis_size(SPACE) if _is_shared() else 1


def is_divided() -> bool:
    """Whether fields are blocks of the domain, that is whether several devices share it."""
    return space_size() > 1


def undivided(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function` of arrays that are whole fields, of which every device has its own: inside, `is_divided()` is false."""
    if not _is_shared():
        return function
    return jax.vmap(function, in_axes=None, out_axes=None, axis_size=1, axis_name=_WHOLE)


def whole_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The points of the whole domain per space axis, of whose fields a device holds blocks of `shape`."""
    return (space_size() * shape[0], *shape[1:])


def block_start(points: int) -> Int[Array, ""]:
    """The index on the whole first axis of the first point here, in blocks of `points`."""
    return points * jax.lax.axis_index(SPACE)


def own_points(points: int) -> int:
    """How many of the `points` of the first axis are here.

    **Raises:** `ValueError` if the devices cannot share them evenly.
    """
    if points % space_size():
        raise ValueError(f"{points} points cannot be divided evenly among {space_size()} devices. Take a multiple of that.")
    return points // space_size()


def own_part(x: Shaped[Array, "..."] | Shaped[np.ndarray, "..."], axis: int) -> Any:
    """The part of `x` that belongs to the block here, where `axis` of `x` goes over the whole first space axis, or `x`."""
    if not is_divided():
        return x
    count, x = own_points(x.shape[axis]), jnp.asarray(x)
    return jax.lax.dynamic_slice_in_dim(x, block_start(count), count, axis)


def space_sum(x: Num[Array, "..."]) -> Num[Array, "..."]:
    """The sum over all blocks of what was computed of each: the same on all devices."""
    return jax.lax.psum(x, SPACE) if _is_shared() else x


def space_mean(u: Inexact[Array, "..."], axes: Sequence[int], *, keepdims: bool = False) -> Inexact[Array, "..."]:
    """The mean over `axes`, which include the first space axis, of all blocks together."""
    mean = jnp.mean(u, tuple(axes), keepdims=keepdims)
    return jax.lax.pmean(mean, SPACE) if _is_shared() else mean


def space_max(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The largest of what was computed of each block; where the domain is divided it has no derivative."""
    return jax.lax.pmax(jax.lax.stop_gradient(x), SPACE) if _is_shared() else x


def differs(x: Shaped[Array, "..."]) -> bool:
    """Whether `x` is another array on every device that shares the domain, in JAX's types."""
    try:
        jax.lax.pcast(x, SPACE, to="varying")
    except ValueError:  # it is so already
        return True
    return False


def everywhere(x: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
    """`x`, the same on all devices, as something that each may use in its own way.

    JAX does this by itself, but where its gradient has to be summed over the devices it should do so for the smallest array.
    """
    return x if differs(x) else jax.lax.pcast(x, SPACE, to="varying")


def everywhere_beside(x: Inexact[Array, "..."], weights: PyTree[Array]) -> Inexact[Array, "..."]:
    """`everywhere(x)` if an array of `weights` differs from device to device, else `x`, before they meet in several products."""
    return everywhere(x) if _is_shared() and any(map(differs, jax.tree.leaves(weights))) else x


def gathered(x: Shaped[Array, "..."], axis: int) -> Shaped[Array, "..."]:
    """The parts of all devices one after the other along `axis`: the same on all devices. For what is small."""
    return jax.lax.all_gather(x, SPACE, axis=axis, tiled=True, to="invarying")


def is_bound(name: str) -> bool:
    """Whether this is traced inside of a `shard_map` over a mesh with an axis of this name."""
    try:
        jax.lax.axis_size(name)
    except NameError:
        return False
    return True


def _is_shared() -> bool:
    """Whether fields are blocks, be it of one device."""
    return is_bound(SPACE) and not is_bound(_WHOLE)
