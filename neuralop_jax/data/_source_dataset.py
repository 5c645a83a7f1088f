"""Samples straight from a source, for files that are too large to be converted or held in memory."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from neuralop_jax.data._pairing import Pairing, only, row_of
from neuralop_jax.data._sample import Sample
from neuralop_jax.data._source import Source
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo


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
        self.source, self.split = source, split
        self.pairing = Pairing(input, target, input_time, target_time)
        for name in self.pairing.names:
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
        choices = (self.split, dataclasses.astuple(self.pairing), self.info.to_json())
        digest = hashlib.sha256(json.dumps(choices).encode())
        for row in (0, len(self) // 2, len(self) - 1):
            sample = self[row]
            digest.update(np.asarray(sample.inputs["u"]).tobytes() + np.asarray(sample.target).tobytes())
        return digest.hexdigest()

    def recognizes(self, fingerprint: object) -> bool:
        """Whether a recorded fingerprint is of these data."""
        return fingerprint == self.fingerprint

    def __len__(self) -> int:
        return self.source.num_samples

    def __getitem__(self, index: int) -> Sample:
        row = row_of(index, len(self))
        return only(self._read(row, row + 1))

    def take(self, indices: Integer[np.ndarray, " batch"]) -> Sample:
        """The samples of these indices as one `Sample` whose arrays have a leading axis."""
        rows = [int(index) for index in indices]
        each = {name: [self._read_field(name, row, row + 1) for row in rows] for name in self.pairing.names}
        return self._paired({name: np.concatenate(values) for name, values in each.items()})

    def read_all(self) -> Sample:
        """All samples as one `Sample` whose arrays have a leading axis of length `len(self)`; they must fit in memory."""
        return self._read(0, len(self))

    def _read(self, start: int, stop: int) -> Sample:
        return self._paired({name: self._read_field(name, start, stop) for name in self.pairing.names})

    def _paired(self, fields: dict[str, np.ndarray]) -> Sample:
        return self.pairing.batch(fields, {name: self.source.field(name).info.time_varying for name in fields}, self.grid.shape)

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
