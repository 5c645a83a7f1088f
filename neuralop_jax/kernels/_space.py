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
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import space_size, space_sum

        mesh, u = Mesh(jax.devices(), ("space",)), jnp.ones(8 * jax.device_count())  # with more devices, blocks of u are on them
        square = lambda u: space_sum(jnp.sum(u**2))
        divided = jax.shard_map(square, mesh=mesh, in_specs=PartitionSpec("space"), out_specs=PartitionSpec())
        assert divided(u) == square(u) == len(u) and space_size() == 1
        ```
    """
    return jax.lax.axis_size(SPACE) if _is_shared() else 1


def is_divided() -> bool:
    """Whether fields are blocks of the domain, that is whether several devices share it: not on a mesh of one device.

    What needs points of other blocks asks this. Below, several devices exchange them, and a single one has them all:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import is_divided, on_lines

        mesh, u = Mesh(jax.devices(), ("space",)), jnp.arange(4.0 * jax.device_count())
        mirrored = lambda u: on_lines(jnp.flip, u, 0) if is_divided() else jnp.flip(u, 0)
        divided = jax.shard_map(mirrored, mesh=mesh, in_specs=PartitionSpec("space"), out_specs=PartitionSpec("space"))
        assert (divided(u) == u[::-1]).all() and (mirrored(u) == u[::-1]).all() and not is_divided()
        ```
    """
    return space_size() > 1


def undivided(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function` of arrays that are whole fields, of which every device has its own: inside, `is_divided()` is false.

    To be made inside of the `shard_map`: outside of one with the axis `"space"` it is `function` itself. What this returns takes
    positional arguments only, arrays or trees of arrays, and so is what comes out.

    Below, every device has one field, and finds the mean of that. With several devices `mean` alone would be that of all fields:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import space_mean, undivided

        fields = jnp.arange(4.0 * jax.device_count()).reshape(-1, 4)
        mean, one_each = lambda u: space_mean(u, (1,)), PartitionSpec("space")
        own_mean = lambda u: undivided(mean)(u)
        means = jax.shard_map(own_mean, mesh=Mesh(jax.devices(), ("space",)), in_specs=one_each, out_specs=one_each)(fields)
        assert (means == 4 * jnp.arange(len(fields)) + 1.5).all()
        ```
    """
    if not _is_shared():
        return function
    return jax.vmap(function, in_axes=None, out_axes=None, axis_size=1, axis_name=_WHOLE)


def whole_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The points of the whole domain per space axis, of whose fields a device holds blocks of `shape`, the divided axis first.

    What depends on the resolution takes it from here, as the weight $1/N$ of a quadrature rule does:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import space_sum, whole_shape

        points = 16 * jax.device_count()
        integral = lambda u: space_sum(jnp.sum(u)) / whole_shape(u.shape)[0]  # the midpoint rule on the unit interval
        mesh = Mesh(jax.devices(), ("space",))  # of one device or more: u.shape is that of a block, the integral the same
        divided = jax.shard_map(integral, mesh=mesh, in_specs=PartitionSpec("space"), out_specs=PartitionSpec())
        assert jnp.isclose(divided((jnp.arange(points) + 0.5) / points), 1 / 2)
        ```
    """
    return (space_size() * shape[0], *shape[1:])


def block_start(points: int) -> Int[Array, ""]:
    """The index on the whole first axis of the first point here, in blocks of `points`."""
    return points * jax.lax.axis_index(SPACE)


def own_points(points: int) -> int:
    """How many of the `points` of the first axis are here: all of them outside of a `shard_map` with the axis `"space"`.

    **Raises:** `ValueError` if the devices cannot share them evenly.

    A device makes by it what nobody gives to it, here its part of the weights $1/N$, whose sum over all devices is 1:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import own_points, space_sum

        points = 8 * jax.device_count()
        total = lambda: space_sum(jnp.sum(jnp.full(own_points(points), 1 / points)))
        divided = jax.shard_map(total, mesh=Mesh(jax.devices(), ("space",)), in_specs=(), out_specs=PartitionSpec())
        assert jnp.allclose(jnp.stack([divided(), total()]), 1) and own_points(points) == points
        ```
    """
    if points % space_size():
        raise ValueError(f"{points} points cannot be divided evenly among {space_size()} devices. Take a multiple of that.")
    return points // space_size()


def own_part(x: Shaped[Array, "..."] | Shaped[np.ndarray, "..."], axis: int) -> Any:
    """The part of `x` that belongs to the block here, where `axis` of `x` goes over the whole first space axis, or `x`.

    For what every device knows of the whole axis, as coordinates and weights. It is `x` itself unless `is_divided()`.

    **Raises:** `ValueError` if the devices cannot share the axis evenly.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import own_part

        taper = jnp.hanning(8 * jax.device_count())  # over the whole axis; every device multiplies its block by its part
        blocks, mesh = PartitionSpec("space"), Mesh(jax.devices(), ("space",))
        tapered = jax.shard_map(lambda u: u * own_part(taper, 0), mesh=mesh, in_specs=blocks, out_specs=blocks)
        assert (tapered(jnp.ones_like(taper)) == taper).all()
        ```
    """
    if not is_divided():
        return x
    count, x = own_points(x.shape[axis]), jnp.asarray(x)
    return jax.lax.dynamic_slice_in_dim(x, block_start(count), count, axis)


def space_sum(x: Num[Array, "..."]) -> Num[Array, "..."]:
    """The sum over all blocks of what was computed of each: the same on all devices. See `space_size` for an example."""
    return jax.lax.psum(x, SPACE) if _is_shared() else x


def space_mean(u: Inexact[Array, "..."], axes: Sequence[int], *, keepdims: bool = False) -> Inexact[Array, "..."]:
    """The mean over `axes` of `u`, which include the first space axis, of all blocks together: the same on all devices.

    Blocks are of equal size, so that it is the mean of their means. Below, a field loses its mean over the whole domain,
    whatever the blocks that it is in:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import space_mean

        u, blocks = jnp.arange(4.0 * jax.device_count()), PartitionSpec("space")
        centered = lambda u: u - space_mean(u, (0,))
        divided = jax.shard_map(centered, mesh=Mesh(jax.devices(), ("space",)), in_specs=blocks, out_specs=blocks)
        assert (divided(u) == u - (len(u) - 1) / 2).all()
        ```
    """
    mean = jnp.mean(u, tuple(axes), keepdims=keepdims)
    return jax.lax.pmean(mean, SPACE) if _is_shared() else mean


def space_max(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The largest of what was computed of each block: the same on all devices.

    Inside of a `shard_map` with the axis `"space"`, be it over one device, its derivative is taken to be zero. It is meant for
    scales that are not differentiated, as the time step $h / \max |c|$ that the speed anywhere in the domain allows:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import space_max

        speed = 3 * jnp.sin(jnp.linspace(0, jnp.pi / 2, 8 * jax.device_count()))  # the largest is in the last block
        step, mesh = lambda c: 0.1 / space_max(jnp.max(jnp.abs(c))), Mesh(jax.devices(), ("space",))
        divided = jax.shard_map(step, mesh=mesh, in_specs=PartitionSpec("space"), out_specs=PartitionSpec())
        assert jnp.isclose(divided(speed), 0.1 / 3) and (jax.grad(divided)(speed) == 0).all()
        ```
    """
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
    """The parts of all devices one after the other along `axis`: the same on all devices. For what is small.

    Only inside of a `shard_map` over a mesh with the axis `"space"`: elsewhere JAX raises `NameError`. It undoes `own_part`.

    Below, sums from the left end of the domain on. Every device gets the totals of all blocks, one number each, and adds those of
    the blocks before its own to the sums over that; a single device adds nothing:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import gathered, own_part

        def sums(u):
            totals = gathered(jnp.sum(u, keepdims=True), 0)
            return jnp.cumsum(u) + own_part(jnp.cumsum(totals) - totals, 0)

        u, blocks = jnp.arange(4.0 * jax.device_count()), PartitionSpec("space")
        divided = jax.shard_map(sums, mesh=Mesh(jax.devices(), ("space",)), in_specs=blocks, out_specs=blocks)
        assert (divided(u) == u * (u + 1) / 2).all()
        ```
    """
    return jax.lax.all_gather(x, SPACE, axis=axis, tiled=True, to="invarying")


def is_bound(name: str) -> bool:
    """Whether an axis of this name is bound where this is traced: inside of a `shard_map` over a mesh with it, or of a
    `vmap` with this `axis_name`.

    One function then serves the parts of a batch that devices, or the rows of a `vmap`, share, and the batch as a whole:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.kernels import is_bound

        mean = lambda x: jax.lax.pmean(jnp.mean(x), "data") if is_bound("data") else jnp.mean(x)
        x = jnp.arange(8.0)
        assert mean(x) == 3.5 and not is_bound("data")
        assert jax.vmap(mean, axis_name="data")(x.reshape(4, 2)).tolist() == [3.5] * 4  # all four find the mean of all
        ```
    """
    try:
        jax.lax.axis_size(name)
    except NameError:
        return False
    return True


def _is_shared() -> bool:
    """Whether fields are blocks, be it of one device."""
    return is_bound(SPACE) and not is_bound(_WHOLE)
