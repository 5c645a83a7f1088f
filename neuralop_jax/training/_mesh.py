"""The devices that share a training, and what of its arrays each of them holds."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree

from neuralop_jax import models
from neuralop_jax.data import DeviceData, Drawn, Sample
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.training._state import TrainState

DATA, SPACE = "data", "space"


@dataclasses.dataclass(frozen=True)
class DeviceMesh:
    """Devices in a rectangle: along `"data"` they share the samples of a batch, along `"space"` the domain of each sample.

    Every device computes the gradient of its samples, and gradients are averaged: the result is that of one device. The first
    space axis of fields is cut into contiguous blocks, one for each device along `"space"`. Weights are everywhere, but those
    with more than `shard_above` numbers, their averages and their part of the optimizer state are cut along one axis into as
    many pieces as there are devices along `"data"`; a device gathers a whole weight while it computes, and adds up the gradient
    of its own piece alone.

    - `mesh`: a JAX mesh with the axis `"data"` and, where devices share the domain, `"space"`.
    - `shard_above`: numbers of a leaf above which it is cut; 0 cuts none.

    **Source:** Rajbhandari et al. 2020, arXiv:1910.02054, stage 3, for the weights.

    !!! example

        ```python
        from neuralop_jax.training import DeviceMesh

        mesh = DeviceMesh.create(data=1)
        assert mesh.data == mesh.space == 1
        ```
    """

    mesh: Mesh
    shard_above: int = 0

    @classmethod
    def create(cls, data: int = 1, space: int = 1, *, shard_above: int = 0, devices: Sequence[Any] | None = None) -> "DeviceMesh":
        """The mesh of `data * space` devices, those of one process side by side.

        **Arguments:**

        - `data`, `space`: devices along each axis. Along `"space"` there is talk in every layer, along `"data"` once a step:
            neighbors along `"space"` are neighbors in the list of devices.
        - `shard_above`: as above. *Good values*: 0, until memory is short; then 100,000.
        - `devices`: in place of all there are.

        **Raises:** `ConfigError` if there are too few devices, or if several processes would not all take part, with whole rows.
        """
        found = sorted(jax.devices() if devices is None else devices, key=lambda device: (device.process_index, device.id))
        wanted = data * space
        if wanted > len(found):
            kind, plural = found[0].platform, "" if len(found) == 1 else "s"
            remedy = f" On a CPU, JAX_NUM_CPU_DEVICES={wanted} makes as many." if kind == "cpu" else ""
            raise ConfigError(
                f"mesh.data {data} x mesh.space {space} needs {wanted} devices, found {len(found)} device{plural} ({kind}). "
                f"Lower --mesh.data or --mesh.space.{remedy}"
            )
        processes = len({device.process_index for device in found})
        if processes > 1 and (wanted != len(found) or (len(found) // processes) % space):
            raise ConfigError(
                f"mesh.data {data} x mesh.space {space} does not fit {processes} processes with {len(found)} devices in all: the "
                f"product must be {len(found)} and mesh.space a divisor of {len(found) // processes}. Change --mesh.data."
            )
        rectangle = np.array(found[:wanted]).reshape(data, space)
        return cls(Mesh(rectangle, (DATA, SPACE)) if space > 1 else Mesh(rectangle[:, 0], (DATA,)), shard_above)

    @property
    def data(self) -> int:
        """Devices along `"data"`."""
        return self.mesh.shape[DATA]

    @property
    def space(self) -> int:
        """Devices along `"space"`."""
        return self.mesh.shape.get(SPACE, 1)

    def check_sizes(self, batch_size: int, shape: Sequence[int]) -> None:
        """Raises `ConfigError` unless the devices can share batches of this size and fields on a grid of this `shape`."""
        if batch_size % self.data:
            near = max(self.data, batch_size // self.data * self.data)
            raise ConfigError(
                f"data.batch_size {batch_size} cannot be divided evenly among mesh.data {self.data} devices. "
                f"Use --data.batch-size {near}."
            )
        if shape[0] % self.space:
            raise ConfigError(
                f"the first of {tuple(shape)} points cannot be divided evenly among mesh.space {self.space} devices. "
                "Use a divisor, and share the samples along --mesh.data."
            )

    def axis_of(self, leaf: Any) -> int | None:
        """The axis along which a weight, or what belongs to one, is cut: the longest that can be; `None` if it is everywhere."""
        possible = [axis for axis, size in enumerate(leaf.shape) if size % self.data == 0]
        if not self.shard_above or leaf.size <= self.shard_above or self.data == 1 or not possible:
            return None
        return max(possible, key=lambda axis: leaf.shape[axis])

    def spec(self, leaf: Any) -> PartitionSpec:
        """Where the parts of a weight, or of what belongs to one, are."""
        axis = self.axis_of(leaf)
        return PartitionSpec() if axis is None else PartitionSpec(*(None,) * axis, DATA)

    def batch_specs(self, batch: Sample | Drawn | DeviceData, leading: int = 1) -> PyTree:
        """Where the parts of a batch are, leaf by leaf; `leading` axes stand before the channels, that over the samples last.

        Fields, `u` and the target, are cut in samples and domain, anything else in samples. Of `DeviceData`, also behind a
        `Drawn` batch, all samples are everywhere.
        """
        samples, domain = (*(None,) * (leading - 1), DATA), (None, SPACE) if self.space > 1 else ()

        def spec(path: tuple[Any, ...], _: Any) -> PartitionSpec:
            name = getattr(path[-1], "key", getattr(path[-1], "name", None))
            first = samples if isinstance(batch, Sample) or name == "indices" else (None,)
            return PartitionSpec(*first, *(domain if name in ("u", "target") else ()))

        return jax.tree_util.tree_map_with_path(spec, batch)

    def state_specs(self, state: TrainState) -> PyTree:
        """Where the parts of a training state are, array by array: what is not trained is everywhere."""
        arrays = eqx.filter(state, eqx.is_array)
        kept = eqx.filter(arrays.model, models.trainable(state.model), inverse=True)
        specs = jax.tree.map(self.spec, arrays)
        model = eqx.combine(jax.tree.map(lambda _: PartitionSpec(), kept), specs.model)
        return dataclasses.replace(specs, model=model)

    def place_state(self, state: TrainState) -> TrainState:
        """The state on the devices of the mesh; what is there already stays. Several processes must have the same numbers."""
        return self.place(state, self.state_specs(state))

    def place(self, tree: PyTree, specs: PyTree) -> PyTree:
        """The arrays of a tree on the devices of the mesh, each in the parts that `specs` say."""
        arrays, rest = eqx.partition(tree, eqx.is_array)
        return eqx.combine(jax.tree.map(self._placed, arrays, specs), rest)

    def place_batch(self, batch: Sample, leading: int) -> Sample:
        """A batch from the host on the devices; of several processes each gives the samples of its own devices, whole."""
        put = lambda values, spec: jax.make_array_from_process_local_data(NamedSharding(self.mesh, spec), np.asarray(values))
        return jax.tree.map(put, batch, self.batch_specs(batch, leading))

    @property
    def share(self) -> tuple[int, int]:
        """Which part of each batch the devices of this process compute, and how many parts there are: `(index, count)`."""
        processes = [int(row.process_index) for row in self.mesh.devices.reshape(self.data, -1)[:, 0]]
        return sorted(set(processes)).index(jax.process_index()), len(set(processes))

    def is_here(self, array: Any) -> bool:
        """Whether an array is on the devices of the mesh."""
        return isinstance(array, jax.Array) and array.sharding.device_set == set(self.mesh.devices.flat)

    def constrain(self, state: TrainState) -> TrainState:
        """Inside a compiled function: keeps the parts of a state where `place_state` puts them."""
        arrays, rest = eqx.partition(state, eqx.is_array)
        keep = lambda leaf, spec: jax.lax.with_sharding_constraint(leaf, NamedSharding(self.mesh, spec))
        return eqx.combine(jax.tree.map(keep, arrays, self.state_specs(state)), rest)

    def _placed(self, leaf: Any, spec: PartitionSpec) -> Array:
        sharding = NamedSharding(self.mesh, spec)
        if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
            return leaf
        if sharding.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        numbers = np.asarray(leaf)
        return jax.make_array_from_callback(numbers.shape, sharding, lambda index: numbers[index])


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
    try:
        jax.lax.axis_size(SPACE)
    except NameError:
        return value  # nobody shares the domain
    try:
        jax.lax.pcast(value, SPACE, to="varying")  # refused for what differs already
    except ValueError as error:
        raise ModelInputError(
            "the loss is not the same on all devices along mesh.space: it has to be summed over all blocks of the domain, as "
            "those of neuralop_jax.losses are. Sum it with jax.lax.psum(..., 'space'), or use --mesh.space 1."
        ) from error
    return value
