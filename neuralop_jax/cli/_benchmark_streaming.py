"""The rows of `benchmark data` about batches from disk: small files from memory, a large one from the disk itself."""

import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

from neuralop_jax.cli._benchmark_rows import timed_row
from neuralop_jax.data import HDF5Dataset, SourceDataset, grain_batches, open_source, write_hdf5
from neuralop_jax.errors import ConfigError
from neuralop_jax.evaluation import Timing, resident_bytes
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

_BATCH, _POINTS, _PORTIONS = 32, 128, 10


def streaming_rows() -> Iterator[dict[str, Any]]:
    """Batches of 32 fields of 64 x 64 points through Grain from a file of 256 MiB: megabytes per second, in random order."""
    fields = np.random.default_rng(0).standard_normal((8192, 2, 64, 64), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        np.save(place / "fields.npy", fields)
        write_hdf5(place / "fields.h5", _info(len(fields), 64), {"train": {"u": fields[:, 0], "v": fields[:, 1]}})
        pairs = open_source(place / "fields.npy", layout="u: samples channels x y")
        for name, dataset in (
            ("HDF5 with checksums", HDF5Dataset(place / "fields.h5", "train", "u", "v")),
            ("NumPy, memory-mapped", SourceDataset(pairs, "u", "u")),
        ):
            batches, seconds = grain_batches(dataset, _BATCH, 0), []
            batch = next(batches)
            size = (batch.inputs["u"].nbytes + np.asarray(batch.target).nbytes) / 1e6
            for _ in range(5):
                seconds.append(_seconds(lambda batches=batches: [next(batches) for _ in range(40)]) / 40)
            speeds = Timing(tuple(size / each for each in seconds))
            yield timed_row(f"Streaming batches of {_BATCH} fields of 64x64, {name}", "MB/s", 1.0, {"ours": speeds})


def large_file_row(gigabytes: float) -> dict[str, Any]:
    """One epoch of a file of so many gigabytes, in random order, beside plain h5py reading single samples in random order.

    The two take turns of a tenth of the samples each, and the system forgets the file before every turn, so that both read from
    the disk. `memory_growth_mb` is by how much the memory of this process grew from the first turn to the last.

    **Raises:** `ConfigError` where a file cannot be forgotten.
    """
    if not hasattr(os, "posix_fadvise"):
        raise ConfigError("--case large_file needs a system that can forget a file (posix_fadvise). Use Linux.")
    num_samples = _PORTIONS * _BATCH * max(1, round(gigabytes * 1e9 / (8 * _POINTS**2 * _PORTIONS * _BATCH)))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "large.h5"
        noise = _Noise(num_samples)
        write_hdf5(path, _info(num_samples, _POINTS), {"train": {"u": noise, "v": noise}})
        batches = grain_batches(HDF5Dataset(path, "train", "u", "v"), _BATCH, 0)
        order = iter(np.random.default_rng(0).permutation(num_samples).tolist())
        portion = num_samples // _PORTIONS
        rates: dict[str, list[float]] = {"ours": [], "h5py": []}
        memory = []
        with h5py.File(path, "r") as file:
            u, v = file["train/t0_fields/u"], file["train/t0_fields/v"]
            turns = {"ours": lambda: _consume(batches, portion // _BATCH), "h5py": lambda: _read(u, v, order, portion)}
            for turn in range(_PORTIONS):
                for name in list(turns)[:: 1 if turn % 2 else -1]:
                    _forget(path)
                    rates[name].append(portion * 8 * _POINTS**2 / 1e6 / _seconds(turns[name]))
                memory.append(resident_bytes())
        size = path.stat().st_size
    case = f"Streaming {size / 1e9:.1f} GB of HDF5, batches of {_BATCH} fields of {_POINTS}x{_POINTS}, from the disk"
    row = timed_row(case, "MB/s", 1.0, {name: Timing(tuple(values)) for name, values in rates.items()})
    return row | {"file_bytes": size, "memory_growth_mb": (max(memory) - memory[0]) / 1e6, "memory_mb": max(memory) / 1e6}


class _Noise:
    """Samples of noise that are made when they are asked for."""

    def __init__(self, num_samples: int):
        self.shape, self.dtype = (num_samples, _POINTS, _POINTS), np.dtype(np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        return np.random.default_rng(start).random((stop - start, *self.shape[1:]), np.float32)


def _consume(batches: Any, count: int) -> None:
    for _ in range(count):
        next(batches)


def _read(u: Any, v: Any, order: Iterator[int], count: int) -> None:
    for _ in range(count):
        row = next(order)
        for field in (u, v):
            np.asarray(field[row])


def _forget(path: pathlib.Path) -> None:
    """Takes the file out of the memory in which the system keeps what was read."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _info(num_samples: int, points: int) -> DatasetInfo:
    split = SplitInfo(num_samples, Grid((points, points)))
    return DatasetInfo("fields", "Noise", (FieldInfo("u"), FieldInfo("v")), {"train": split})


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
