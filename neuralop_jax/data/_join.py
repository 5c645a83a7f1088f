"""Several sources as one: the parts of a dataset that was published in several files."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from neuralop_jax.data._source import Source, SourceField
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.errors import DataError


def join(sources: Sequence[Source]) -> Source:
    """The samples of all sources, one after the other, still unread.

    **Arguments:**

    - `sources`: sources with the same fields on the same grid at the same times.

    **Returns:** a `Source` whose kind, notes and parameters are those of the first, but parameters that differ are left out.

    **Raises:** `DataError` naming what differs.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.data import join, open_source

        for name in ("a.npz", "b.npz"):
            np.savez(name, x=np.ones((3, 8, 8)), y=np.ones((3, 8, 8)))
        assert join([open_source("a.npz"), open_source("b.npz")]).num_samples == 6
        ```
    """
    if not sources:
        raise DataError("nothing to join. Give at least one source.")
    first, *others = sources
    if not others:
        return first
    for other in others:
        for name in ("grid", "times"):
            if getattr(other, name) != getattr(first, name):
                raise DataError(
                    f"{other.path} has another {name.rstrip('s')} than {first.path}: {getattr(other, name)}. Keep them apart."
                )
        infos = [{name: field.info for name, field in source.fields.items()} for source in (first, other)]
        if infos[0] != infos[1]:
            raise DataError(f"{other.path} has the fields {list(infos[1])}, {first.path} {list(infos[0])}. Keep them apart.")
    parameters, notes = common_parameters(sources)
    return dataclasses.replace(
        first,
        fields={
            name: SourceField(field.info, Joined([source.fields[name].array for source in sources]), field.stored)
            for name, field in first.fields.items()
        },
        parameters=parameters,
        notes=(*dict.fromkeys(note for source in sources for note in source.notes), *notes),
        origin=tuple(piece for source in sources for piece in source.origin),
    )


def common_parameters(sources: Sequence[Source]) -> tuple[dict[str, float], list[str]]:
    """The parameters that all sources state alike, and which of the others were left out."""
    names = dict.fromkeys(name for source in sources for name in source.parameters)
    first = sources[0].parameters
    same = {name: first[name] for name in names if all(source.parameters.get(name) == first.get(name) for source in sources)}
    different = [name for name in names if name not in same]
    return same, [f"the files differ in {', '.join(different)}: left out of the parameters"] * bool(different)


class Joined:
    """Arrays one after the other along the axis of samples."""

    def __init__(self, arrays: Sequence[Sliceable]):
        self._arrays = list(arrays)
        self._starts = np.cumsum([0, *(array.shape[0] for array in self._arrays)]).tolist()
        self.shape = (self._starts[-1], *self._arrays[0].shape[1:])
        self.dtype = np.result_type(*(np.dtype(array.dtype) for array in self._arrays))

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        values = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        for array, first, last in zip(self._arrays, self._starts, self._starts[1:], strict=False):
            low, high = max(start, first), min(stop, last)
            if low < high:
                values[low - start : high - start] = array[low - first : high - first]
        return values
