"""The devices that share a training, and what of its arrays each of them holds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from neuralop_jax import models
from neuralop_jax.data import DeviceData, Drawn, Sample
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import SPACE
from neuralop_jax.training._state import TrainState

DATA = "data"


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

    mesh: Mesh | AbstractMesh
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

    @classmethod
    def planned(cls, data: int, space: int = 1, *, shard_above: int = 0) -> "DeviceMesh":
        """A mesh of devices that need not be there: with it a step can be traced, not computed."""
        sizes, names = ((data, space), (DATA, SPACE)) if space > 1 else ((data,), (DATA,))
        return cls(AbstractMesh(sizes, names), shard_above)

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
        processes = [int(row.process_index) for row in np.asarray(self.mesh.devices).reshape(self.data, -1)[:, 0]]
        return sorted(set(processes)).index(jax.process_index()), len(set(processes))

    def is_here(self, array: Any) -> bool:
        """Whether an array is on the devices of the mesh."""
        return isinstance(array, jax.Array) and array.sharding.device_set == set(np.asarray(self.mesh.devices).flat)

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
