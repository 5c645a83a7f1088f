"""Arrays taken from their places in HDF5 files equal those that the HDF5 library reads."""

import gc
import itertools
import os

import h5py
import numpy as np
import pytest

from neuralop_jax.data import open_hdf5
from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File, HDF5Group
from neuralop_jax.data._hdf5_filters import check_fletcher32, decode
from neuralop_jax.data._read import read_each
from neuralop_jax.errors import DataError

SHAPES = ((7, 10), (5,), (6, 4, 9))
TYPES = ("<f4", ">f8", "<i2", "u1", "?", "<f2")
FILTERS = (
    {},
    {"fletcher32": True},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"compression": "lzf", "shuffle": True},
    {"shuffle": True, "compression": "gzip"},
)


def chunkings(shape):
    return None, (1, *shape[1:]), tuple(max(1, length // 2 - 1) for length in shape)


@pytest.mark.parametrize(("version", "block"), [("earliest", 0), ("earliest", 512), (("v110", "v110"), 0), ("latest", 1024)])
def test_every_layout_is_read_as_the_library_reads_it(tmp_path, version, block):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "x.h5", "w", libver=version, userblock_size=block) as file:
        for number, (shape, kind, filters) in enumerate(itertools.product(SHAPES, TYPES, FILTERS)):
            chunks = chunkings(shape)[number % 3]
            values = (9 * rng.normal(size=shape)).astype(kind)
            file.create_dataset(str(number), data=values, chunks=chunks, **(filters if chunks else {}))
        file["scalar"] = 3.5
        file.create_dataset("grows", data=rng.normal(size=(5, 4)), chunks=(2, 3), maxshape=(None, None))
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((2, 3))
        h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F64BE, space, compact).write(
            h5py.h5s.ALL, h5py.h5s.ALL, rng.normal(size=(2, 3))
        )
        file.create_dataset("nothing", (0, 4), "f4", maxshape=(None, 4))
    with h5py.File(tmp_path / "x.h5") as file:
        wanted = {name: item[...] for name, item in file.items()}
    with open_hdf5(tmp_path / "x.h5") as file:
        assert list(file) == list(wanted)
        for name, values in wanted.items():
            array = file[name]
            assert (array.shape, array.dtype, array.complete or not array.size) == (values.shape, values.dtype, True)
            np.testing.assert_array_equal(array, values)
            for _ in range(4):
                box = tuple(slice(*sorted(rng.integers(0, length + 1, 2).tolist())) for length in values.shape)
                np.testing.assert_array_equal(array[box], values[box])
            if values.ndim:
                np.testing.assert_array_equal(array[..., 1:3], values[..., 1:3])
                np.testing.assert_array_equal(array[-2:], values[-2:])
                rows = rng.integers(0, max(1, len(values)), 6 if len(values) else 0)
                np.testing.assert_array_equal(array.take(rows), values[rows], strict=True)


def test_a_damaged_row_among_others_is_an_error(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 4, 4))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("u", data=values, chunks=(1, 4, 4), fletcher32=True)
        place = file["u"].id.get_chunk_info(3).byte_offset
    content = bytearray((tmp_path / "x.h5").read_bytes())
    content[place + 50] ^= 4
    (tmp_path / "x.h5").write_bytes(content)
    with open_hdf5(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["u"].take(np.array([5, 0, 5])), values[[5, 0, 5]])
        assert file["u"].take(np.zeros(0, int)).shape == (0, 4, 4)
        for rows in ([6], [0, -1]):
            with pytest.raises(IndexError, match="6 rows"):
                file["u"].take(np.array(rows))
        with pytest.raises(OSError, match="checksum mismatch"):
            file["u"].take(np.array([5, 3, 0]))
        with pytest.raises(DataError, match=r"u is corrupt at sample 3 \(checksum mismatch\)"):
            read_each(file["u"], np.array([5, 3, 0]))


def test_large_arrays(tmp_path):
    """Sizes at which chunks are read in runs, checksums are summed in blocks, and contiguous arrays run by run."""
    values = np.random.default_rng(0).normal(size=(40, 257, 129))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("chunks", data=values, chunks=(1, 257, 129), fletcher32=True)
        file.create_dataset("plain", data=values, chunks=(1, 257, 129))
        file.create_dataset("whole", data=values)
    with open_hdf5(tmp_path / "x.h5") as file:
        for array in (file["chunks"], file["plain"], file["whole"]):
            np.testing.assert_array_equal(array[...], values)
            np.testing.assert_array_equal(array[3:38], values[3:38])
            np.testing.assert_array_equal(array[:, 100:102, 7:9], values[:, 100:102, 7:9])
            np.testing.assert_array_equal(array[..., 5:6], values[..., 5:6])


@pytest.mark.parametrize("length", [1, 2, 3, 7, 4095, 4096, 4097, 65_536, 300_001])
def test_checksum_is_that_of_hdf5(tmp_path, length):
    values = np.random.default_rng(length).integers(0, 256, length, np.uint8)
    for filled in (values, np.zeros(length, np.uint8), np.full(length, 255, np.uint8)):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("u", data=filled, chunks=(length,), fletcher32=True)
            _, stored = file["u"].id.read_direct_chunk((0,))
        check_fletcher32(np.frombuffer(stored, np.uint8)[None])
        for place in np.random.default_rng(0).integers(0, 8 * len(stored), 20):
            broken = np.frombuffer(stored, np.uint8).copy()
            broken[place // 8] ^= 1 << (place % 8)
            with pytest.raises(ValueError, match="checksum mismatch"):
                check_fletcher32(broken[None])


def test_filters_that_were_left_out_for_a_chunk():
    content = bytes(range(16))
    assert decode(content, [(1, [6])], 1, 16).tobytes() == content
    assert decode(content, [(2, [8]), (1, [6])], 2, 16).tobytes() == bytes(np.arange(16).reshape(8, 2).T.ravel().tolist())


@pytest.mark.parametrize(
    ("filters", "stored"),
    [
        ([], bytes(15)),
        ([(3, [])], bytes(3)),
        ([(1, [6])], b"no zlib at all"),
        ([(1, [6])], bytes.fromhex("789cedc1010100000080")),
        ([(32000, [])], bytes([255] * 20)),
        ([(32000, [])], bytes([31, 1, 2])),
        ([(32000, [])], bytes([0, 65]) + bytes([0xE0, 255, 0]) * 100),
        ([(32000, [])], b""),
    ],
)
def test_damaged_chunks_are_errors(filters, stored):
    with pytest.raises(ValueError, match="chunk|damaged|end where"):
        decode(stored, filters, 0, 16)


def test_a_bomb_is_not_unpacked():
    import zlib

    with pytest.raises(ValueError, match="do not end where they should"):
        decode(zlib.compress(bytes(10**8)), [(1, [9])], 0, 1000)


def test_groups_links_and_attributes(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["g/inner/u"] = np.arange(3.0)
        file["g/again"] = file["g"]
        file["soft"] = h5py.SoftLink("/g")
        file["type"] = np.dtype("f4")
        file["g"].attrs.update({"n": 3, "x": [1.5, 2.5], "flag": True, "words": ["a", "bé"], "nothing": h5py.Empty("f8")})
        file["g"].attrs["reference"] = file["g"].ref
    with open_hdf5(tmp_path / "x.h5") as file:
        group = file["g"]
        assert isinstance(group, HDF5Group) and group == group["again"]["again"] and hash(group) == hash(group["again"])
        assert group != file["g/inner"] and len(group) == 2 and "inner" in group and "u" not in group
        assert isinstance(file["g/inner/u"], HDF5Array) and file["g/inner/u"].name == "/g/inner/u"
        assert not isinstance(file["type"], HDF5Group | HDF5Array)
        for absent in ("none", "soft", "soft/inner", "g/none", "g/inner/u/x", "type/x"):
            with pytest.raises(KeyError):
                file[absent]
        told = group.attributes
        assert told["words"] == {"texts": ["a", "bé"]} and told["nothing"] == told["reference"] == {}
        assert bytes.fromhex(told["x"]["values"]) == np.array([1.5, 2.5]).tobytes()


def test_only_slices_with_steps_of_one(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["u"] = np.ones((4, 3))
    with open_hdf5(tmp_path / "x.h5") as file:
        for index in (0, slice(None, None, 2), (slice(None), 1), (slice(None),) * 3, [1, 2]):
            with pytest.raises(IndexError, match="slices with steps of one"):
                file["u"][index]


def test_objects_are_equal_within_one_opening(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["u"], file["v"] = np.arange(3.0), np.arange(3.0)
    with open_hdf5(tmp_path / "x.h5") as one, open_hdf5(tmp_path / "x.h5") as other:
        assert one == one and one["u"] == one["u"] and hash(one["u"]) == hash(one["u"])
        assert one != other and one["u"] != one["v"] and one["u"] != other["u"]


def test_changes_are_noticed(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["u"] = np.arange(1000.0)
    with open_hdf5(path) as file:
        array = file["u"]
        os.truncate(path, 4000)
        with pytest.raises(OSError, match="changed while it was open"):
            array[:]
    with pytest.raises(OSError, match="closed"):
        array[:]


def test_files_are_closed_with_their_last_use(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["u"] = np.arange(3.0)
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        array = HDF5File(tmp_path / "x.h5")["u"]
        np.testing.assert_array_equal(array[:], np.arange(3.0))
        del array
        after = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    finally:
        gc.enable()
    assert after <= before + 2  # the pipes of the worker, if this was its first file
