"""Reads many damaged files in one process, which has to survive: `python mutated_files.py FOLDER KIND=COUNT ...` prints what happened.

Each file is a whole one with up to eight bytes changed, a piece cut off, or a piece moved. Whatever is raised must be an error of
the library, in one line and in time; whatever is read must have the shape that was announced.
"""

import collections
import io
import json
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from neuralop_jax.data import (
    HDF5Dataset,
    _hdf5_process,
    _matlab_process,
    describe,
    open_source,
    read_info,
    read_mat,
    verify,
    write_hdf5,
)
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

SECONDS = 4
RNG = np.random.default_rng(0)
U = RNG.normal(size=(6, 5, 8))


def own(path):
    grid = Grid((5, 8), boundary=("periodic", "dirichlet"))
    info = DatasetInfo("toy", "Toy", (FieldInfo("a"), FieldInfo("u", channels=2)), {"train": SplitInfo(6, grid)}, {"nu": 0.1})
    write_hdf5(path, info, {"train": {"a": U.astype(np.float32), "u": np.stack([U, -U], axis=1)}}, overwrite=True)


def foreign(path):
    with h5py.File(path, "w") as file:  # the oldest format, without checksums of its metadata
        file["a"] = U
        file.create_dataset("u", data=U, chunks=(1, 5, 4), compression="gzip", shuffle=True)
        file.create_dataset("v", data=U, chunks=(2, 5, 8), maxshape=(None, 5, 8), fletcher32=True)
        group = file.create_group("more")
        group.attrs["words"] = ["one", "two"]
        group.attrs["nu"] = 0.1
        for number in range(12):
            group[f"x{number}"] = np.arange(3.0)
        file["soft"], file["far"] = h5py.SoftLink("/a"), h5py.ExternalLink("none.h5", "/a")


def newest(path):
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for group in ("train", "test"):
            file.create_dataset(f"{group}/a", data=U, chunks=(1, 5, 8))
            file.create_dataset(f"{group}/u", data=U, chunks=(2, 3, 4), maxshape=(None, None, 8), compression="lzf")
        file["train"].attrs.update({f"n{number}": np.arange(number) for number in range(20)})  # dense storage


def matlab_7(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name in ("a", "u"):
            file.create_dataset(name, data=U, chunks=(2, 5, 8), compression="gzip").attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM")


def matlab_5(path):
    content = io.BytesIO()
    scipy.io.savemat(content, {"a": U, "b": U[:, 0] > 0, "c": np.ones((1, 2), np.float32)})
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + content.getvalue()[116:])


def stored(path):
    np.savez(path, a=U, u=np.asfortranarray(U), n=np.arange(4))


def compressed(path):
    np.savez_compressed(path, a=U, u=np.asfortranarray(U), n=np.arange(4))


def read_schema(path):
    verify(path)
    describe(path)
    read_info(path)
    HDF5Dataset(path, "train", "a", "u").read_all()


def read_plain(path):
    describe(path)
    read_info(path, ("a", "u"))
    HDF5Dataset(path, "train", "a", "u").read_all()


def read_any(path):
    describe(path)
    source = open_source(path, layout="samples x y")
    for field in source.fields.values():
        assert field.read(0, field.shape[0]).shape == field.shape


def read_matlab(path):
    for array in read_mat(path).values():
        assert np.asarray(array).shape == array.shape


KINDS = {
    "own": ("x.h5", own, read_schema),
    "foreign": ("x.h5", foreign, read_plain),
    "newest": ("x.h5", newest, read_plain),
    "any": ("x.h5", foreign, read_any),
    "matlab_7": ("x.mat", matlab_7, read_matlab),
    "matlab_5": ("x.mat", matlab_5, read_matlab),
    "stored": ("x.npz", stored, read_any),
    "compressed": ("x.npz", compressed, read_any),
}


def mutated(content, rng):
    """A damaged copy: bytes set to others, most often; else cut short, or a piece copied to another place."""
    broken, how = content.copy(), rng.integers(10)
    if how == 0:
        return broken[: rng.integers(1, len(broken))]
    if how == 1:
        start, target, length = (int(n) for n in rng.integers(1, len(broken) // 2, size=3))
        broken[target : target + length] = broken[start : start + length]
        return broken
    for place in rng.integers(len(broken), size=rng.integers(1, 9)):
        broken[place] = rng.integers(256) if how > 4 else broken[place] ^ (1 << rng.integers(8))
    return broken


def run(kind, count, folder):
    """How often what happened."""
    name, make, read = KINDS[kind]
    path = folder / name
    make(path)
    read(path)
    content, seen, slowest = np.fromfile(path, np.uint8), collections.Counter(), 0.0
    for number in range(count):
        mutated(content, np.random.default_rng([number, *kind.encode()])).tofile(path)
        begin = time.monotonic()
        try:
            read(path)
            seen["read"] += 1
        except DataError as error:
            assert "\n" not in str(error), str(error)
            crashed, late = "reader crashed" in str(error), "took more than" in str(error)
            seen["crash contained" if crashed else "hang contained" if late else "refused"] += 1
        except BaseException:
            print(f"{kind}, file {number}", file=sys.stderr)
            raise
        slowest = max(slowest, time.monotonic() - begin)
    return {"kind": kind, "files": count, **seen, "slowest": round(slowest, 1)}


if __name__ == "__main__":
    _hdf5_process.SECONDS = _matlab_process.SECONDS = SECONDS
    for word in sys.argv[2:]:
        kind, _, count = word.partition("=")
        print(json.dumps(run(kind, int(count), Path(sys.argv[1]))), flush=True)
