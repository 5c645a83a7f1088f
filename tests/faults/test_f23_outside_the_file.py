"""F23: what points outside its file, claims more than it has or needs a plug-in is refused with its name and its target."""

import h5py
import numpy as np
import pytest
from mutated_files import own

from neuralop_jax.data import HDF5Dataset
from neuralop_jax.errors import DataError


def read(path, input="a", target="u"):
    return HDF5Dataset(path, "train", input, target)


@pytest.fixture
def plain(tmp_path):
    """A plain file with the fields a and u, in which a test replaces one."""

    def write(change):
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            file["a"] = np.ones((5, 8))
            change(file)
            if "u" not in list(file):
                file["u"] = np.ones((5, 8))
        return path

    return write


def one_line(error):
    assert "\n" not in str(error.value)


def test_f23_external_storage(plain, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"a secret of forty bytes " * 14)
    path = plain(lambda f: f.create_dataset("u", (5, 8), "u1", external=[(str(secret), 0, 40)]))
    with pytest.raises(DataError, match=r"x\.h5:/u points outside the file \(external storage '.*secret\.txt'\)") as error:
        read(path)
    one_line(error)


def test_f23_external_link(plain, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["u"] = np.ones((5, 8))
    path = plain(lambda f: f.__setitem__("u", h5py.ExternalLink("other.h5", "/u")))
    with pytest.raises(DataError, match=r"x\.h5:/u points outside.*external link to '/u' in 'other\.h5'"):
        read(path)


def test_f23_external_link_in_the_schema(tmp_path):
    own(tmp_path / "x.h5")
    with h5py.File(tmp_path / "other.h5", "w") as other, h5py.File(tmp_path / "x.h5", "r+") as file:
        file.copy("train/t0_fields", other)
        del file["train/t0_fields"]
        file["train/t0_fields"] = h5py.ExternalLink("other.h5", "/t0_fields")
    with pytest.raises(DataError, match=r"/train/t0_fields points outside"):
        read(tmp_path / "x.h5")


@pytest.mark.parametrize("target", ["/u", "/a", "/nowhere", "/link/loop"])
def test_f23_soft_links_are_not_followed(plain, target):
    path = plain(lambda f: f.__setitem__("u", h5py.SoftLink(target)))
    with pytest.raises(DataError, match=f"x.h5:/u points outside its place .soft link to '{target}'"):
        read(path)


def test_f23_virtual_dataset(plain, tmp_path):
    layout = h5py.VirtualLayout((5, 8), "f8")
    layout[:] = h5py.VirtualSource("missing.h5", "u", (5, 8))
    path = plain(lambda f: f.create_virtual_dataset("u", layout))
    with pytest.raises(DataError, match=r"points outside the file \(virtual dataset of 'missing\.h5'\)"):
        read(path)


def test_f23_huge_claim(plain):
    path = plain(lambda f: f.create_dataset("u", (5, 10**12), "f8", chunks=(1, 1000)))
    with pytest.raises(DataError, match=r"u claims 36\.4 TiB but the file has [0-9,]+ bytes; refused \(limit 64 × file size\)"):
        read(path, input="u")


def test_f23_huge_chunk(plain):
    path = plain(lambda f: f.create_dataset("u", (5, 8), "f8", chunks=(5, 10**6), maxshape=(5, None)))
    with pytest.raises(DataError, match=r"u claims 38\.1 MiB"):
        read(path)


def test_f23_data_that_were_never_written(plain):
    path = plain(lambda f: f.create_dataset("u", (5, 8), "f8"))
    with pytest.raises(DataError, match="incomplete: part of it was never written"):
        read(path)

    def half(file):
        file.create_dataset("u", (5, 8), "f8", chunks=(1, 8))[:3] = 1

    with pytest.raises(DataError, match="incomplete"):
        read(plain(half))


def test_f23_filter_plugin(plain):
    def zstandard(file):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 8))
        properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((5, 8))
        h5py.h5d.create(file.id, b"u", h5py.h5t.NATIVE_DOUBLE, space, properties)

    with pytest.raises(DataError, match="needs the filter plug-in 32015"):
        read(plain(zstandard))


def test_f23_a_filter_of_hdf5_that_is_not_read_is_no_plugin(plain):
    path = plain(lambda file: file.create_dataset("u", data=np.ones((5, 8)), chunks=(1, 8), scaleoffset=2))
    with pytest.raises(DataError, match="u needs the filter 6 'scaleoffset', which is not read here. Write it again with gzip."):
        read(path)


def test_f23_numbers_with_unusual_bits(plain):
    """HDF5 knows floats of any layout; NumPy would show others."""

    def write(file):
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_ebias(100)
        h5py.h5d.create(file.id, b"u", kind, h5py.h5s.create_simple((5, 8))).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.ones((5, 8), np.float32)
        )

    with pytest.raises(DataError, match="u holds .* with unusual bits"):
        read(plain(write))
