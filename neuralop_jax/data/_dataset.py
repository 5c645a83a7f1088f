"""A split of an HDF5 file as a sequence of `Sample`s: checked once when opened, read lazily afterwards."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from neuralop_jax._checks import one_of
from neuralop_jax._frames import frames
from neuralop_jax.data._hdf5_file import HDF5Array
from neuralop_jax.data._open import open_file, open_hdf5
from neuralop_jax.data._pairing import Pairing, only, row_of
from neuralop_jax.data._read import blocks, check_sha256, find_field, info_of, raw_bytes, read_each, read_rows
from neuralop_jax.data._sample import Sample
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo

_LARGEST = np.finfo(np.float32).max


class HDF5Dataset:
    r"""One split of an HDF5 file: sample $i$ is the pair $(u_i, v_i)$ of the input and the target function on a grid.

    Construction reads the chosen fields once, block by block: non-finite values, damaged chunks and fields that differ from their
    sha256 are found before training, not in the middle of it. Afterwards samples are read when asked for. The object can be sent
    to another process, which opens the file for itself.

    **Plain files.** A file that the library did not write is read by these rules. If there are datasets in the root of the file,
    they are the fields and form one split, `"train"`; otherwise every group that holds the fields is a split of its name, so that
    `f["train/a"]`, `f["train/u"]`, `f["test/a"]`, `f["test/u"]` make a file with two splits. Arrays are `(samples, *space)` or
    `(samples, channels, *space)`, and `num_dims` says which. Without it, the chosen fields with the fewest axes have no channels.
    Nothing more is known of the grid: it is taken as the unit box with open boundaries. Use `write_hdf5` to say more.

    **Arguments:**

    - `path`: the file.
    - `split`: the name of the split.
    - `input`: names of the fields that form the input function, stacked along the channel axis in this order.
    - `target`: names of the fields that form the output function, likewise.
    - `input_time`, `target_time`: which frames of time-varying fields to take: `"all"`, frame by frame along the channel axis,
        only the `"first"` or the `"last"`, or a range such as `"2::2"`.
    - `nonfinite`: `"error"` refuses a split that holds NaN or infinity; `"drop"` leaves the samples out that do.
    - `num_dims`: the number of space axes of a plain file, 1 to 4; 0 tells by the shapes of the arrays.

    **Returns:** an object with `len(d)` and `d[i]`, a `Sample` of float32 arrays of shape `(channels, *space)`.

    **Raises:** `DataError` for whatever is wrong with the file (see `open_hdf5`), an unknown split or field, unequal lengths,
    non-finite values; `ConfigError` for an unknown option.

    !!! example

        ```python
        from neuralop_jax.data import HDF5Dataset

        dataset = HDF5Dataset(
            "datasets/darcy_small/darcy_small.h5", "train", input=("permeability",), target=("pressure",)
        )
        assert len(dataset) == 1000
        assert dataset[0].inputs["u"].shape == (1, 16, 16)
        ```
    """

    def __init__(
        self,
        path: str | Path,
        split: str,
        input: str | Sequence[str],
        target: str | Sequence[str],
        *,
        input_time: str = "all",
        target_time: str = "all",
        nonfinite: str = "error",
        num_dims: int = 0,
    ):
        one_of("nonfinite", nonfinite, ("error", "drop"), ConfigError)
        self.path = Path(path)
        self.split = split
        self.pairing = Pairing(input, target, input_time, target_time)
        self._opened: dict[str, HDF5Array] | None = None
        names = self.pairing.names
        with open_hdf5(self.path) as file:
            self._info = info_of(file, names, num_dims)
            datasets = [find_field(file, self._info, split, name) for name in names]
            _check_frames(self._info, split, self.pairing)
            finite, digests = zip(*(_scan(dataset, nonfinite) for dataset in datasets), strict=True)
        self._rows = np.flatnonzero(np.all(finite, axis=0))
        if len(self._rows) == 0:
            why = f", none of its {len(finite[0])} is finite in float32" if len(finite[0]) else ""
            raise DataError(f"{path}: split {split!r} has no samples{why}. Add data.")
        choices = (split, self.pairing.input, self.pairing.target, input_time, target_time, nonfinite)
        sha256_of = lambda *what: hashlib.sha256(json.dumps(what).encode()).hexdigest()
        self._without_description = sha256_of(choices, digests)
        stored = [(dataset.dtype.str, dataset.shape) for dataset in datasets]
        self._fingerprint = sha256_of(choices, digests, stored, _described(self._info, split, names))

    @property
    def info(self) -> DatasetInfo:
        """Names, units, grids and source of the whole file, all splits."""
        return self._info

    @property
    def grid(self) -> Grid:
        """The grid of this split."""
        return self._info.splits[self.split].grid

    @property
    def times(self) -> tuple[float, ...]:
        """The times of the target's frames, counted from the last frame of the input; empty if one of both has no frames."""
        return self.pairing.target_times(self._info, self.split)

    @property
    def fingerprint(self) -> str:
        """A sha256 over the options, over the chosen fields (type, shape, values, unit) and over the grid, the times and the
        parameters: datasets with the same one give the same samples. Texts, other splits and other fields are not in it; equal
        numbers stored in another type have another one."""
        return self._fingerprint

    def recognizes(self, fingerprint: object) -> bool:
        """Whether a recorded fingerprint is of these data; also one of the first versions, of options and values alone."""
        return fingerprint in (self._fingerprint, self._without_description)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        row = int(self._rows[row_of(index, len(self))])
        return only(self._read(row, row + 1))

    def take(self, indices: Integer[np.ndarray, " batch"]) -> Sample:
        """The samples of these indices as one `Sample` whose arrays have a leading axis; faster than one after the other."""
        rows = self._rows[indices]
        for name in self.pairing.names:
            self._field(name).expect(rows)
        return self._paired({name: read_each(self._field(name), rows) for name in self.pairing.names})

    def read_all(self) -> Sample:
        """The whole split as one `Sample` whose arrays have a leading axis of length `len(self)`."""
        whole = self._read(0, self._info.splits[self.split].num_samples)
        if len(self) == len(whole.target):
            return whole
        return Sample({name: values[self._rows] for name, values in whole.inputs.items()}, whole.target[self._rows])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _read(self, start: int, stop: int) -> Sample:
        with np.errstate(over="ignore"):  # only samples that are dropped hold values beyond float32
            return self._paired(
                {name: read_rows(self._field(name), start, stop).astype(np.float32) for name in self.pairing.names}
            )

    def _paired(self, fields: dict[str, np.ndarray]) -> Sample:
        return self.pairing.batch(fields, {name: self._info.field(name).time_varying for name in fields}, self.grid.shape)

    def _field(self, name: str) -> HDF5Array:
        """The field in the file that this process has open."""
        opened = self._opened
        if opened is None:
            file = open_file(self.path)
            opened = self._opened = {key: find_field(file, self._info, self.split, key) for key in self.pairing.names}
        return opened[name]


def _described(info: DatasetInfo, split: str, names: Sequence[str]) -> dict[str, Any]:
    """What a description says of the meaning of numbers, in JSON types."""
    fields = [(field.name, field.unit, field.channels, field.time_varying) for field in map(info.field, names)]
    return {"fields": fields, "split": dataclasses.asdict(info.splits[split]), "parameters": sorted(info.parameters.items())}


def _check_frames(info: DatasetInfo, split: str, pairing: Pairing) -> None:
    """Raises `ConfigError` for a range of frames in which there is none."""
    for option, names in (("input_time", pairing.input), ("target_time", pairing.target)):
        text, known = getattr(pairing, option), info.splits[split].times
        if known and any(info.field(name).time_varying for name in names) and not known[frames(text)]:
            raise ConfigError(f"{option} {text!r} takes none of the {len(known)} frames of {split!r}. Use 0:{len(known)}.")


def _scan(dataset: HDF5Array, nonfinite: str) -> tuple[np.ndarray, str]:
    """Which samples are finite, and the sha256 of all values, in one pass over the field."""
    digest, finite, number, first = hashlib.sha256(), np.ones(dataset.shape[0], bool), 0, None
    for start, values in blocks(dataset):
        digest.update(raw_bytes(values))
        good = np.abs(values) <= _LARGEST
        if not good.all():
            finite[start : start + len(values)] = good.reshape(len(values), -1).all(axis=1)
            bad = np.argwhere(~good)
            first = first or [int(bad[0, 0]) + start, *bad[0, 1:].tolist()]
            number += len(bad)
    check_sha256(dataset, digest.hexdigest())
    if number and nonfinite == "error":
        affected = int((~finite).sum())
        remedy = f"Use --data.nonfinite drop to skip the {affected} affected sample{'s' if affected > 1 else ''}."
        if affected == len(finite):
            remedy = f"No sample is without; values beyond {_LARGEST:.1e} count as such. Scale the field, or write it anew."
        raise DataError(f"{dataset.file.filename}:{dataset.name} holds {number} non-finite values, first at {first}. {remedy}")
    return finite, digest.hexdigest()
