"""The gradient of a batch whose samples, domain and weights are divided among devices."""

from collections.abc import Callable

import equinox as eqx
import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, PyTree

from neuralop_jax.data import Drawn, Sample
from neuralop_jax.errors import ModelInputError
from neuralop_jax.kernels import SPACE, is_bound
from neuralop_jax.kernels._space import differs
from neuralop_jax.training._mesh import DATA, DeviceMesh

MeanGradient = Callable[[PyTree, PyTree, Sample | Drawn, Array], tuple[Float[Array, ""], PyTree]]
"""`gradient(weights, rest, batch, keys)`: the mean loss of a batch and its gradient by the weights."""


def over_mesh(mesh: DeviceMesh, gradient: Callable[..., tuple[Float[Array, ""], PyTree]]) -> MeanGradient:
    r"""`gradient` with every device at its part of the batch and of the domain, in one `jax.shard_map`.

    The weights come to the function as a device holds them, with a function `whole` that gathers them: `gradient(weights, rest,
    batch, keys, whole)` is the mean over the samples of one device, differentiated through `whole`, so that the transpose of the
    gathering adds up every piece of a gradient where it belongs. What is everywhere is differentiated apart on each device and
    added up once, however many portions a batch has.

    **Arguments:**

    - `gradient`: its value must be the same along `"space"`: a loss has to be a sum over all blocks of the domain.

    **Raises:** when traced, `ModelInputError` if the value differs along `"space"`.
    """
    names = mesh.mesh.axis_names

    def computed(weights: PyTree, rest: PyTree, batch: Sample | Drawn, keys: Array) -> tuple[Float[Array, ""], PyTree]:
        arrays, static = eqx.partition(rest, eqx.is_array)
        axes = [mesh.axis_of(leaf) for leaf in jax.tree.leaves(weights)]
        structure = jax.tree.structure(weights)

        def whole(pieces: PyTree) -> PyTree:
            gather = lambda piece, axis: piece if axis is None else jax.lax.all_gather(piece, DATA, axis=axis, tiled=True)
            return structure.unflatten(map(gather, jax.tree.leaves(pieces), axes))

        def part(weights: PyTree, arrays: PyTree, batch: Sample | Drawn, keys: Array) -> tuple[Float[Array, ""], PyTree]:
            apart = lambda piece, axis: jax.lax.pcast(piece, names if axis is None else names[1:], to="varying")
            pieces = structure.unflatten(map(apart, jax.tree.leaves(weights), axes))
            value, grads = gradient(pieces, eqx.combine(arrays, static), batch, keys, whole)
            leaves = jax.tree.leaves(grads)
            everywhere = [leaf for leaf, axis in zip(leaves, axes, strict=True) if axis is None]
            everywhere, value = _added(everywhere, value, names)
            cut = [leaf for leaf, axis in zip(leaves, axes, strict=True) if axis is not None]
            cut = jax.lax.psum(cut, names[1:]) if cut and names[1:] else cut
            rows = [iter(cut), iter(everywhere)]
            return value / mesh.data, structure.unflatten([next(rows[axis is None]) / mesh.data for axis in axes])

        pieces = jax.tree.map(mesh.spec, weights)
        everywhere = jax.tree.map(lambda _: PartitionSpec(), arrays)
        fields = mesh.batch_specs(batch, keys.ndim)
        places = (pieces, everywhere, fields, PartitionSpec(*(None,) * (keys.ndim - 1), DATA))
        divided = jax.shard_map(part, mesh=mesh.mesh, in_specs=places, out_specs=(PartitionSpec(), pieces))
        return divided(weights, arrays, batch, keys)

    return computed


def _added(grads: list[Array], value: Array, names: tuple[str, ...]) -> tuple[list[Array], Array]:
    """Gradients added up over all devices and the value over those along `"data"`, in one message if it is one sum."""
    if len(names) == 1:
        return jax.lax.psum((grads, value), names)
    return jax.lax.psum(grads, names), jax.lax.psum(value, DATA)


def same_in_space(value: Array) -> Array:
    """`value` inside a `shard_map`, if it is the same on all devices that share the domain.

    **Raises:** `ModelInputError` if it is not.
    """
    if is_bound(SPACE) and differs(value):
        raise ModelInputError(
            "the loss is not the same on all devices along mesh.space: it has to be summed over all blocks of the domain, as "
            "those of neuralop_jax.losses are. Sum it with jax.lax.psum(..., 'space'), or use --mesh.space 1."
        )
    return value
