"""Reads MATLAB 5 files with SciPy in a process of its own, which may crash, hang or run out of memory without harm to another.

A script, `python _matlab_worker.py PATH FOLDER MEMORY SECONDS [NAME TYPE]`: it imports nothing of the package, so it starts fast.
It limits itself to MEMORY bytes and SECONDS of the processor, then writes FOLDER/answer.json: a list of the variables, or, where
one is named, whether it could be written beside it as values.npy in TYPE.
"""

import contextlib
import errno
import json
import struct
import sys
import zlib
from pathlib import Path

MAX_VARIABLES = 10_000
BLOCK_BYTES = 2**24
COMPRESSED = 15  # the type of an element that holds a compressed one
COMPLEX = 0x800  # among the flags of a matrix
START_BYTES = 4096  # enough to inflate its flags


def limit(memory: int, seconds: int) -> None:
    """Makes this process end where it takes too much; without effect where the system has no such limits."""
    with contextlib.suppress(ImportError):
        import resource

        for name, most in (("RLIMIT_AS", memory), ("RLIMIT_CPU", seconds), ("RLIMIT_FSIZE", memory), ("RLIMIT_CORE", 0)):
            with contextlib.suppress(AttributeError, ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (most, most))


def variables(path: str) -> list:
    """The name, shape and class of every variable."""
    from scipy.io import whosmat

    found = whosmat(path, appendmat=False)
    if len(found) > MAX_VARIABLES:
        raise ValueError(f"it has {len(found):,} variables, more than {MAX_VARIABLES:,}")
    return [
        (name, [int(length) for length in shape], f"complex {kind}" if imaginary else kind)
        for (name, shape, kind), imaginary in zip(found, are_complex(path), strict=True)
    ]


def are_complex(path: str) -> list[bool]:
    """Whether each variable has an imaginary part: a bit in the first bytes of its element, which SciPy does not tell."""
    found = []
    with open(path, "rb") as file:
        file.seek(126)
        order = "<" if file.read(2) == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            end = file.tell() + size
            start = file.read(min(size, START_BYTES))
            if kind == COMPRESSED:
                start = zlib.decompressobj().decompress(start, 24)[8:]  # behind the tag of the matrix inside
            found.append(bool(struct.unpack_from(f"{order}I", start, 8)[0] & COMPLEX))
            file.seek(end)
    return found


def unpack(path: str, name: str, type_name: str, target: Path) -> str:
    """Writes a variable as an array in C order, whose first axis is sliced cheaply; gives its type if that is no real number."""
    import numpy as np
    from scipy.io import loadmat

    values = loadmat(path, variable_names=[name], appendmat=False)[name]
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        return values.dtype.name if isinstance(values, np.ndarray) else type(values).__name__
    dtype = np.dtype(type_name)
    rows = max(1, BLOCK_BYTES // max(1, values[:1].size * dtype.itemsize))
    with open(target, "wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": values.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(values), rows):
            block = values[start : start + rows]
            file.write(np.ascontiguousarray(block != 0 if dtype.kind == "b" else block, dtype).data)
    return ""


def answer(path: str, folder: Path, variable: list[str]) -> dict:
    try:
        if not variable:
            return {"variables": variables(path)}
        name, type_name = variable
        return {"refused": unpack(path, name, type_name, folder / "values.npy")}
    except Exception as error:
        (folder / "values.npy").unlink(missing_ok=True)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return {"error": f"{type(error).__name__}: {error}", "full": full}


if __name__ == "__main__":
    path, folder, memory, seconds, *variable = sys.argv[1:]
    limit(int(memory), int(seconds))
    Path(folder, "answer.json").write_text(json.dumps(answer(path, Path(folder), variable)))
