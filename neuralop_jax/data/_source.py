"""A file of any kind as named fields in the canonical order of axes, read by slices of samples."""

import dataclasses
from pathlib import Path

import numpy as np

from neuralop_jax._checks import did_you_mean
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo


@dataclasses.dataclass(frozen=True)
class SourceField:
    """A field of a `Source`.

    - `info`: its name, number of channels, and whether it varies in time.
    - `array`: its values, `(samples, [time], [channels], *space)`, of which slices of samples are read when asked for.
    - `stored`: how the file holds it, in words.
    """

    info: FieldInfo
    array: Sliceable
    stored: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The canonical shape: an axis of time if the field varies in time, of channels if it has more than one."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """The stored type."""
        return np.dtype(self.array.dtype)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The samples `start` to `stop`."""
        return np.asarray(self.array[start:stop])


@dataclasses.dataclass(frozen=True)
class Source:
    """What a file holds: made by `open_source`, changed by `select`, written by `convert`, trained on by `SourceDataset`.

    - `path`: the file; of joined sources the first.
    - `kind`: the kind of the file, in words.
    - `fields`: the fields by name, all on one grid and with equally many samples.
    - `grid`, `times`: where and when the values are; `times` is empty if no field varies in time.
    - `parameters`: physical parameters that the file states.
    - `notes`: what was inferred, left out or not stated, one sentence each.
    - `origin`: which samples of which files these are: `(file, start, stop)`.
    """

    path: Path
    kind: str
    fields: dict[str, SourceField]
    grid: Grid
    times: tuple[float, ...] = ()
    parameters: dict[str, float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    origin: tuple[tuple[str, int, int], ...] = ()

    def __post_init__(self):
        if not self.origin:
            object.__setattr__(self, "origin", ((str(self.path), 0, self.num_samples),))

    @property
    def num_samples(self) -> int:
        """The number of samples."""
        return next(iter(self.fields.values())).shape[0]

    def field(self, name: str) -> SourceField:
        """The field called `name`; `DataError` with the names and shapes of all if there is none."""
        if name in self.fields:
            return self.fields[name]
        listed = ", ".join(f"{known} {field.shape} {field.dtype}" for known, field in self.fields.items())
        raise DataError(f"{self.path} has no field {name!r}. Found: {listed}.{did_you_mean(name, self.fields)}")

    def split(self) -> SplitInfo:
        """These samples as the description of a split."""
        return SplitInfo(self.num_samples, self.grid, self.times)

    def info(self, split: str = "train") -> DatasetInfo:
        """The description of a dataset whose only split these samples are."""
        return DatasetInfo(
            name=self.path.stem,
            title=self.path.name,
            fields=tuple(field.info for field in self.fields.values()),
            splits={split: self.split()},
            parameters=self.parameters,
        )
