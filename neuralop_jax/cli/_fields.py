"""Input fields of a prediction from a user's file, and predicted fields into one."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neuralop_jax._checks import shown_path
from neuralop_jax._frames import frames
from neuralop_jax._whole_files import make_way, whole_file
from neuralop_jax.config import DataConfig
from neuralop_jax.data import HDF5Dataset, describe, read_info, write_hdf5
from neuralop_jax.data._open import SIZE_LIMIT, read_start, refuse_start
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

HDF5_SUFFIXES = (".h5", ".hdf5")
_NUMPY_STARTS = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")
"""How arrays, archives of arrays, and those without any begin."""


def read_fields(path: Path, data: DataConfig, num_dims: int, split: str) -> tuple[np.ndarray, Grid | None]:
    """The input functions in a file, `(samples, channels, *space)` in float32, and their grid where the file states one.

    HDF5 files are read as in training, plain ones with `num_dims` space axes; `.npy` and `.npz` files without pickles.

    **Raises:** `DataError` if the file holds anything else than finite fields of the right names and number of axes.
    """
    if path.suffix.lower() not in (".npy", ".npz"):
        start, found = read_start(path)
        if not found:
            raise refuse_start(path, start, "an HDF5 file, .npy or .npz")
        info = read_info(path, data.input, num_dims=num_dims)
        if not split and len(info.splits) > 1:
            raise DataError(f"{path} has the splits {', '.join(info.splits)}. Choose one with --split.")
        dataset = HDF5Dataset(
            path,
            split or next(iter(info.splits)),
            data.input,
            data.input,
            input_time=data.input_time,
            target_time=data.input_time,
            num_dims=num_dims,
        )
        plain = describe(path)["kind"] == "plain HDF5"
        return np.asarray(dataset.read_all().inputs["u"]), None if plain else dataset.grid
    arrays = _load(path)
    if all(name in arrays for name in data.input):
        values = np.concatenate([_batched(f"{path}:{name}", arrays[name], num_dims) for name in data.input], axis=1)
    elif len(arrays) == 1:
        name, values = next(iter(arrays.items()))
        values = _batched(f"{path}:{name}" if name else str(path), values, num_dims)
    else:
        raise DataError(f"{path} holds {', '.join(arrays) or 'no array'}; wanted {', '.join(data.input)}, or one array alone.")
    return values, None


def write_fields(path: Path, values: np.ndarray, info: DatasetInfo, data: DataConfig, grid: Grid) -> None:
    """Writes predictions `(samples, channels, *space)` to a new file, one array per target field, in one step.

    **Raises:** `DataError` if the file exists, cannot be written, or its suffix is neither `.npz` nor of HDF5.
    """
    check_new(path)
    train = info.splits[data.train_split]
    fields, arrays, start = [], {}, 0
    for name in data.target:
        field = info.field(name)
        number = len(train.times[frames(data.target_time)]) if field.time_varying else 1
        stop = start + number * field.channels
        axes = ([number] if number > 1 else []) + ([field.channels] if field.channels > 1 else [])
        arrays[name] = values[:, start:stop].reshape(len(values), *axes, *grid.shape)
        some = field.time_varying and ":" in data.target_time  # whose description may speak of frames that are not there
        described = name if some else field.description or name
        fields.append(FieldInfo(name, field.unit, f"predicted {described}", field.channels, number > 1))
        start = stop
    if path.suffix.lower() in HDF5_SUFFIXES:
        times = train.times[frames(data.target_time)] if any(field.time_varying for field in fields) else ()
        splits = {"prediction": SplitInfo(len(values), grid, times, train.time_unit)}
        write_hdf5(
            path,
            DatasetInfo(info.name, f"Predictions: {info.title}", tuple(fields), splits, info.parameters),
            {"prediction": arrays},
        )
    else:
        _write_npz(path, arrays)


def check_new(path: Path) -> None:
    """Makes the parents of a file of predictions; raises `DataError` unless it can be written under this name."""
    if path.suffix.lower() not in (*HDF5_SUFFIXES, ".npz"):
        raise DataError(f"{path}: wanted a name that ends in .h5, .hdf5 or .npz. Choose one of these.")
    make_way(path, DataError)


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name, or the one of an `.npy` file under the empty name."""
    if not os.path.isfile(path):
        raise DataError(f"no such file: {shown_path(path)} (looked in {Path.cwd()}). Check the path.")
    start, _ = read_start(path)
    if not start.startswith(_NUMPY_STARTS):
        raise refuse_start(path, start, "a NumPy file")
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            claims, size = sum(entry.file_size for entry in loaded.zip.infolist()), path.stat().st_size
            if claims > SIZE_LIMIT * size:
                raise ValueError(f"it claims {claims:,} bytes but has {size:,} (limit {SIZE_LIMIT} times as many)")
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        if "pickle" in reason.lower() or "Python objects" in reason:
            raise DataError(
                f"{path} holds pickled objects, which can run code when opened; refused. Save plain arrays."
            ) from error
        raise DataError(f"{path} is not a NumPy file, or is damaged: {reason}. Save it again with numpy.save.") from error


def _batched(where: str, values: np.ndarray, num_dims: int) -> np.ndarray:
    """`(samples, channels, *space)` from an array that may lack the axes of samples and channels."""
    if values.dtype.kind not in "fiub":
        raise DataError(f"{where} holds {values.dtype}, wanted real numbers. Convert it.")
    if not num_dims <= values.ndim <= num_dims + 2:
        space = ", ".join("xyzw"[:num_dims])
        raise DataError(
            f"{where} has shape {values.shape}, wanted ({space}), (samples, {space}) or (samples, channels, {space})."
        )
    if 0 in values.shape:
        axes = ("samples", "channels")[: values.ndim - num_dims]
        none = next((name for name, length in zip(axes, values.shape, strict=False) if length == 0), "points")
        raise DataError(f"{where} has shape {values.shape}: it holds no {none}, wanted one or more. Save it with them.")
    if values.ndim == num_dims + 1:
        values = values[:, None]
    values = values.reshape((1,) * (num_dims + 2 - values.ndim) + values.shape).astype(np.float32)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{where} holds {len(bad)} non-finite values, first at {bad[0].tolist()}. Leave these samples out.")
    return values


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    try:
        with whole_file(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}. Check space and rights.") from error
