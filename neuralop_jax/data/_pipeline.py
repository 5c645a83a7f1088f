"""Batches from a Grain pipeline whose position can be saved and taken up again."""

from collections.abc import Iterator
from typing import Any

from neuralop_jax._checks import shown
from neuralop_jax.data._dataset import HDF5Dataset
from neuralop_jax.data._device import check_batch_size
from neuralop_jax.data._sample import Sample
from neuralop_jax.data._source_dataset import SourceDataset
from neuralop_jax.errors import CheckpointError, DataError


class GrainBatches:
    """An endless iterator over batches of a dataset, reshuffled in every epoch; made by `grain_batches`.

    - `next(batches)`: a `Sample` whose arrays have a leading axis of length `batch_size`.
    - `get_state()`: the position, a dictionary of JSON types.
    - `set_state(state)`: continues at a saved position; `DataError` if it belongs to other data, another batch size or seed.
    """

    def __init__(self, dataset: HDF5Dataset | SourceDataset, batch_size: int, seed: int, share: tuple[int, int] = (0, 1)):
        import grain  # takes a second to import, and data on the device do not need it

        check_batch_size(len(dataset), batch_size, dataset.split)
        self._recognizes = dataset.recognizes
        self._identity = {"dataset": dataset.fingerprint, "batch_size": batch_size, "seed": seed}
        index, count = share
        order = grain.MapDataset.range(len(dataset)).seed(seed).shuffle()
        order = order[: len(dataset) // batch_size * batch_size].batch(batch_size // count, drop_remainder=True)[index::count]
        batches = order.repeat().map(dataset.take)  # whole batches: Grain costs as much per sample as reading a small one
        self._iterator = iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)))

    def __iter__(self) -> Iterator[Sample]:
        return self

    def __next__(self) -> Sample:
        return next(self._iterator)

    def get_state(self) -> dict[str, Any]:
        """The position: a dictionary of JSON types that `set_state` takes, also in another process."""
        return {**self._identity, "position": self._iterator.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues with the batch that followed when `get_state` gave `state`.

        **Raises:** `DataError` for the position in other batches, `CheckpointError` for what is none.
        """
        for name, ours in self._identity.items():
            stored = state.get(name)
            if stored != ours and not (name == "dataset" and self._recognizes(stored)):
                raise DataError(
                    f"the saved position is of other batches: {name.replace('_', ' ')} {shown(stored)}, now {ours!r}. "
                    "Use the data, batch size and seed of the saved run, or start a new one."
                )
        position = state.get("position")
        if not isinstance(position, dict) or not isinstance(number := position.get("next_index"), int) or number < 0:
            raise CheckpointError(f"the saved position in the data is none: {shown(position)}. Start a new run.")
        self._iterator.set_state(position)


def grain_batches(
    dataset: HDF5Dataset | SourceDataset, batch_size: int, seed: int, *, share: tuple[int, int] = (0, 1)
) -> GrainBatches:
    r"""Batches of $B$ samples from a split of $N$, $\lfloor N/B \rfloor$ per epoch without end, in an order that the seed fixes.

    **Arguments:**

    - `dataset`: a split of an HDF5 file, or samples straight from another file, which may be larger than memory.
    - `batch_size`: $B$; the $N \bmod B$ samples that are left at the end of an epoch are left out of it, others in each.
    - `seed`: the seed of the order.
    - `share`: `(i, n)` reads part i of the n equal parts of every batch and nothing else, as one of n processes does. Positions
        are the same in all of them.

    **Returns:** an iterator of batched `Sample`s with `get_state` and `set_state`.

    **Raises:** `DataError` if the split is smaller than the batch.

    !!! example

        ```python
        from neuralop_jax.data import HDF5Dataset, grain_batches

        dataset = HDF5Dataset("datasets/darcy_small/darcy_small.h5", "train", "permeability", "pressure")
        batches = grain_batches(dataset, batch_size=20, seed=0)
        batch = next(batches)
        assert batch.inputs["u"].shape == (20, 1, 16, 16)
        ```
    """
    return GrainBatches(dataset, batch_size, seed, share)
