"""Samples straight from a source, for files that are too large to be converted or held in memory."""

import hashlib
import json
import math
import operator
from collections.abc import Sequence

import numpy as np

from neuralop_jax._checks import one_of
from neuralop_jax.data._sample import Sample
from neuralop_jax.data._source import Source
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo

_FRAMES = {"all": slice(None), "first": slice(0, 1), "last": slice(-1, None)}


class SourceDataset:
    r"""A source as a sequence of `Sample`s, read when asked for: what `HDF5Dataset` is to a converted file.

    Nothing is read in advance, so that non-finite values are found in the sample that holds them, when it is read. The object
    can be sent to another process, which opens the file for itself; `grain_batches` takes it.

    **Arguments:**

    - `source`: from `open_source` or `select`, which chooses samples, frames and points.
    - `input`, `target`: names of the fields that form the input and the output function, stacked along the channel axis.
    - `split`: the name of these samples in messages and in `info`.
    - `input_time`, `target_time`: which frames of time-varying fields to take: `"all"`, frame by frame along the channel axis, or
        only the `"first"` or the `"last"`.

    **Returns:** an object with `len(d)` and `d[i]`, a `Sample` of float32 arrays of shape `(channels, *space)`.

    **Raises:** `DataError` for an unknown field; `ConfigError` for an unknown option.

    !!! example

        ```python
        import numpy as np

        from neuralop_jax.data import SourceDataset, open_source, select

        flow = np.lib.format.open_memmap("kolmogorov.npy", "w+", np.float32, (4, 40, 32, 32))  # samples, time, x, y
        flow[:] = 1
        source = select(open_source("kolmogorov.npy", layout="samples time x y"), stride=2, times="::8")
        dataset = SourceDataset(source, "u", "u", input_time="first", target_time="last")
        assert dataset[3].target.shape == (1, 16, 16)
        ```
    """

    def __init__(
        self,
        source: Source,
        input: str | Sequence[str],
        target: str | Sequence[str],
        *,
        split: str = "train",
        input_time: str = "all",
        target_time: str = "all",
    ):
        one_of("input_time", input_time, _FRAMES, ConfigError)
        one_of("target_time", target_time, _FRAMES, ConfigError)
        self.source, self.split = source, split
        self.input = (input,) if isinstance(input, str) else tuple(input)
        self.target = (target,) if isinstance(target, str) else tuple(target)
        self.input_time, self.target_time = input_time, target_time
        if not self.input or not self.target:
            raise ConfigError("input and target must each name at least one field.")
        for name in (*self.input, *self.target):
            source.field(name)

    @property
    def info(self) -> DatasetInfo:
        """Names, grid, times and parameters of the source, as a dataset with one split."""
        return self.source.info(self.split)

    @property
    def grid(self) -> Grid:
        """The grid of the samples."""
        return self.source.grid

    @property
    def fingerprint(self) -> str:
        """A sha256 over the options, the description and the first, middle and last sample; the others are not looked at."""
        choices = (self.split, self.input, self.target, self.input_time, self.target_time, self.info.to_json())
        digest = hashlib.sha256(json.dumps(choices).encode())
        for row in (0, len(self) // 2, len(self) - 1):
            sample = self[row]
            digest.update(np.asarray(sample.inputs["u"]).tobytes() + np.asarray(sample.target).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return self.source.num_samples

    def __getitem__(self, index: int) -> Sample:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a split of {len(self)} samples")
        batch = self._read(index % len(self), index % len(self) + 1)
        return Sample({name: values[0] for name, values in batch.inputs.items()}, batch.target[0])

    def read_all(self) -> Sample:
        """All samples as one `Sample` whose arrays have a leading axis of length `len(self)`; they must fit in memory."""
        return self._read(0, len(self))

    def _read(self, start: int, stop: int) -> Sample:
        fields = {name: self._read_field(name, start, stop) for name in dict.fromkeys((*self.input, *self.target))}
        u = np.concatenate([self._channels(name, fields[name], self.input_time) for name in self.input], axis=1)
        v = np.concatenate([self._channels(name, fields[name], self.target_time) for name in self.target], axis=1)
        return Sample({"u": u}, v)

    def _read_field(self, name: str, start: int, stop: int) -> np.ndarray:
        with np.errstate(over="ignore"):
            values = self.source.fields[name].read(start, stop).astype(np.float32)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            first = [int(bad[0, 0]) + start, *bad[0, 1:].tolist()]
            raise DataError(
                f"{self.source.path}: field {name!r} holds {len(bad)} values that are not finite in float32, first at {first}. "
                "Select other samples."
            )
        return values

    def _channels(self, name: str, values: np.ndarray, time: str) -> np.ndarray:
        """`(samples, [time], [channels], *space)` to `(samples, channels, *space)`."""
        if self.source.fields[name].info.time_varying:
            values = values[:, _FRAMES[time]]
        channels = math.prod(values.shape[1 : values.ndim - self.grid.num_dims])
        return values.reshape(len(values), channels, *self.grid.shape)
