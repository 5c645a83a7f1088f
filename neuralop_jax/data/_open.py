"""Opening HDF5 files that nobody vouches for: what leaves the file, lies about its size or needs a plug-in is refused."""

import contextlib
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neuralop_jax._checks import reason, shown_path
from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File, HDF5Group
from neuralop_jax.data._hdf5_filters import FILTERS
from neuralop_jax.errors import DataError, NeuralOpError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SIZE_LIMIT = 64
"""A dataset may claim at most this many times the bytes of its file."""

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_TABLES = (".csv", ".tsv", ".txt", ".dat")
_CONVERT = "make an HDF5 file of it with: neuralop-jax data convert FILE OUT.h5"
_IMPOSTORS = (
    (b"version https://git-lfs", "it is a Git LFS pointer; fetch the file itself with: git lfs pull"),
    (b"<!doctype html", "the download probably returned a web page"),
    (b"<html", "the download probably returned a web page"),
    (b"<?xml", "the download probably returned a web page"),
    (b"\x93numpy", f"it is a NumPy array; {_CONVERT}"),
    (b"pk\x03\x04", f"it is a zip archive, of NumPy or PyTorch perhaps; {_CONVERT}"),
    (b"matlab 5.0", f"it is a MATLAB 5 file; {_CONVERT}"),
)


@contextlib.contextmanager
def open_hdf5(path: str | Path) -> Iterator[HDF5File]:
    """Opens an HDF5 file for reading after looking at its first bytes, and closes it at the end of the `with` block.

    The HDF5 library, which damaged and hostile files can crash, runs in another process, with limits on memory and time. It says
    what is in the file and where; this process then takes numbers from their places. The first file of a process takes about
    0.2 s more than the library would, every other a few milliseconds.

    The file alone is checked here. What is inside is checked when it is reached: `member` follows no soft or external link, and
    `check_dataset` refuses data that lie outside the file.

    **Arguments:**

    - `path`: the file.

    **Returns:** a context manager that gives the root of the file: a mapping of groups, `file["train"]`, and of arrays, which are
    read when they are sliced, `file["u"][:10]`.

    **Raises:** `DataError` if the file is missing, is not HDF5 (the message shows how it starts), is a pickle, which is never
    opened, is truncated, or is being written by another process.

    !!! example

        ```python
        from neuralop_jax.data import open_hdf5

        with open_hdf5("datasets/darcy_small/darcy_small.h5") as file:
            print(sorted(file))
        ```
    """
    with open_file(Path(path)) as file:
        yield file


def open_file(path: Path) -> HDF5File:
    """`open_hdf5` without the `with` block: the caller closes the file."""
    start, found = read_start(path)
    if not found:
        raise refuse_start(path, start, "an HDF5 file")
    try:
        return HDF5File(path)
    except NeuralOpError:
        raise
    except BlockingIOError as error:
        raise DataError(f"{path} is being written by another process. Wait until it has ended.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(_opening_failed(path, str(error))) from error


def read_start(path: Path) -> tuple[bytes, bool]:
    """The first 512 bytes of a file, and whether an HDF5 signature stands at byte 0 or at a power of two from 512 on."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path} is a directory, not a file of data. Name the file inside it.")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path} is a pipe or a device, not a file of data. Copy what comes out of it to a file.")
        with open(path, "rb") as file:
            start = file.read(512)
            found = start.startswith(SIGNATURE)
            offset, size = 512, status.st_size
            while not found and offset < size:
                file.seek(offset)
                found = file.read(len(SIGNATURE)) == SIGNATURE
                offset *= 2
    except DataError:  # which is a ValueError, too
        raise
    except FileNotFoundError as error:
        raise DataError(
            f"no such file: {path} (looked in {Path.cwd()}). Check the path, or write the file with write_hdf5."
        ) from error
    except (OSError, ValueError) as error:  # the latter for a path with a zero byte
        raise DataError(f"{shown_path(path)} cannot be read: {reason(error)}. Check the path.") from error
    return start, found


def refuse_start(path: Path, start: bytes, wanted: str) -> DataError:
    """The error for a file that is not `wanted`, by the bytes with which it starts."""
    is_pickle = len(start) > 1 and start[0] == 0x80 and start[1] <= 5
    if is_pickle or (path.suffix.lower() in _PICKLES and not start.startswith(b"PK\x03\x04")):
        return DataError(
            f"{path} is a pickle-based file, which can run code when opened; not supported. "
            "Load it where you trust it and save its arrays with neuralop_jax.data.write_hdf5."
        )
    if not start:
        return DataError(f"{path} is not {wanted}: it is empty. Download or generate it again.")
    shown = start[:16].decode("latin-1") if start[:16].isascii() else start[:8].hex(" ")
    reasons = [reason for prefix, reason in _IMPOSTORS if start.lstrip().lower().startswith(prefix)]
    if path.suffix.lower() in _TABLES and b"\0" not in start:
        reasons.append("it is a table of text; read it with numpy.loadtxt and save the array with numpy.save")
    reason = reasons[0] if reasons else "download or generate it again"
    return DataError(f"{path} is not {wanted} (starts with {shown!r}): {reason}.")


def _opening_failed(path: Path, reason: str) -> str:
    if "truncated file" in reason and "stored_eof = " in reason:
        wanted = reason.split("stored_eof = ")[1].split(")")[0].split(",")[0]
        if wanted.isdigit():
            return (
                f"{path} is truncated: {path.stat().st_size:,} bytes on disk, header says {int(wanted):,}. "
                "Download or generate it again."
            )
    return f"{path} is damaged: {_one_line(reason)}. Download or generate it again."


def _one_line(reason: str) -> str:
    return " ".join(reason.split()).strip(" .'\"")[:200]


@contextlib.contextmanager
def damage_as_data_error(where: str) -> Iterator[None]:
    """Turns what damage raises inside the block into a one-line `DataError` about `where`."""
    try:
        yield
    except NeuralOpError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise DataError(f"{where} is damaged: {_one_line(str(error))}. Download or generate it again.") from error


def names_in(group: HDF5Group) -> list[str]:
    """The names of the members of `group`, links included, in order; `DataError` for a name that is not UTF-8."""
    names = list(group)
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"{group.file.filename}:{group.name} is damaged: the name {name!r} is not UTF-8. Rename it.")
    return names


def link_target(group: HDF5Group, name: str) -> str:
    """Where a soft or external link points, in words; the empty string for an ordinary member."""
    return group.link(name)


def member(file: HDF5Group | HDF5Array, *names: str) -> HDF5Group | HDF5Array:
    """The object `names[0]/names[1]/...` below `file`, by ordinary members only: no link is followed.

    **Raises:** `DataError` if a part is a link; `KeyError` if it is absent.
    """
    here = file
    for name in names:
        if not isinstance(here, HDF5Group) or name in ("", ".") or name not in here:
            raise KeyError("/".join(names))
        where, target = f"{file.file.filename}:{place(here, name)}", link_target(here, name)
        if target:
            raise DataError(f"{where} points outside its place ({target}). Refused; copy the data into one file.")
        with damage_as_data_error(where):
            item = here[name]
        if not isinstance(item, HDF5Group | HDF5Array):
            raise DataError(f"{where} is the definition of a type, wanted a group or an array.")
        here = item
    return here


def place(group: HDF5Group, name: str) -> str:
    """The path of a member inside its file."""
    return f"{(group.name or '').rstrip('/')}/{name}"


def check_dataset(dataset: HDF5Array) -> None:
    """Raises `DataError` unless the numbers of `dataset` lie in its file, are real or boolean, complete, and of credible size."""
    path = dataset.file.filename
    where = f"{path}:{dataset.name}"
    outside = [f"external storage {name!r}" for name in dataset.external[:1]]
    outside += ["virtual dataset of " + ", ".join(map(repr, dataset.virtual))] * bool(dataset.virtual)
    if outside:
        raise DataError(f"{where} points outside the file ({outside[0]}). Refused; copy the data into one file.")
    if dataset.shape is None:
        raise DataError(f"{where} is empty: it has a type but no shape. Leave it out.")
    if dataset.dtype.kind not in "fiub" or dataset.dtype.itemsize > 8:
        raise DataError(
            f"{where} holds {dataset.holds}, wanted real floats of at most 64 bits, integers or booleans. "
            "Convert it, and split a complex field into two channels."
        )
    for code, _, name in dataset.filters:
        if code not in FILTERS:
            named = f"{code} {name!r}" if name else str(code)
            if code < 256:  # of HDF5 itself
                raise DataError(f"{where} needs the filter {named}, which is not read here. Write it again with gzip.")
            raise DataError(f"{where} needs the filter plug-in {named}, which is code. Refused; write it again with gzip.")
    claims = math.prod(dataset.shape) * dataset.dtype.itemsize
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0
    if max(claims, chunk) > SIZE_LIMIT * dataset.file.size:
        raise DataError(
            f"{where} claims {_bytes(max(claims, chunk))} but the file has {dataset.file.size:,} bytes; "
            f"refused (limit {SIZE_LIMIT} × file size)."
        )
    if claims and not dataset.complete:
        raise DataError(f"{where} is incomplete: part of it was never written. Generate it again.")
    if not dataset.exact:
        raise DataError(f"{where} holds {dataset.holds} with unusual bits. Write it again as ordinary numbers.")


def _bytes(number: int) -> str:
    size, units = float(number), ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.1f} {units[0]}"


def attribute(item: HDF5Group | HDF5Array, name: str) -> np.ndarray:
    """The numbers or texts of an attribute as a vector, empty if there are none; `DataError` above 1 MiB."""
    told = item.attributes.get(name, {})
    where = f"{item.file.filename}:{item.name}"
    if "large" in told:
        raise DataError(f"{where} has an attribute {name!r} above 1,048,576 bytes; refused.")
    with damage_as_data_error(where):
        if "error" in told:
            raise OSError(str(told["error"]))
        if "dtype" in told:
            return np.frombuffer(bytes.fromhex(told["values"]), told["dtype"])
        return np.array([str(text) for text in told.get("texts", ())], object)


def texts_attribute(item: HDF5Group | HDF5Array, name: str) -> tuple[str, ...]:
    """The texts of an attribute, none if it is absent."""
    return tuple(map(str, attribute(item, name)))


def text_attribute(item: HDF5Group | HDF5Array, name: str, default: str = "") -> str:
    """The text of an attribute, or `default` if it is absent."""
    return (*texts_attribute(item, name), default)[0]
