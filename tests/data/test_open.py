import pickle
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, describe, open_hdf5, read_info
from neuralop_jax.errors import DataError


def read(path, input="a", target="u"):
    return HDF5Dataset(path, "train", input, target)


@pytest.fixture
def plain(tmp_path):
    """A plain file with the fields a and u, in which a test replaces one."""

    def write(change=lambda file: None):
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
    return str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*none\.h5 \(looked in ") as error:
        read(tmp_path / "none.h5")
    one_line(error)


def test_directory(tmp_path):
    with pytest.raises(DataError, match="is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>", "not an HDF5 file.*<!DOCTYPE html.*web page"),
        (b"\n<html><body>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer.*git lfs pull"),
        (b"\x93NUMPY\x01\x00", "NumPy array.*neuralop-jax data convert"),
        (b"PK\x03\x04abc", "zip archive.*neuralop-jax data convert"),
        (b"MATLAB 5.0 MAT-file", "MATLAB 5.*neuralop-jax data convert"),
        (b"", "is empty"),
        (b"\x89HD", "not an HDF5 file"),
        (bytes(range(200, 256)) * 40, "starts with 'c8 c9"),
    ],
)
def test_not_hdf5_says_what_it_looks_like(tmp_path, content, message):
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read(path)
    one_line(error)


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.mark.parametrize("name", ["x.pt", "x.pkl", "x.h5", "x.pth"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle_is_refused_and_never_run(tmp_path, name, protocol):
    marker = tmp_path / "marker"
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Payload(str(marker)), protocol))
    for function in (read, read_info, describe):
        with pytest.raises(DataError, match="not an HDF5" if name == "x.h5" and protocol == 0 else "pickle-based.*run code"):
            function(path)
    assert not marker.exists()


def test_torch_zip_is_not_hdf5(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(DataError, match="not an HDF5 file.*PyTorch perhaps.*neuralop-jax data convert") as error:
        read(path)
    one_line(error)


def test_truncated_file_names_both_sizes(toy):
    content = toy.path.read_bytes()
    toy.path.write_bytes(content[:-100])
    with pytest.raises(
        DataError, match=f"is truncated: {len(content) - 100:,} bytes on disk, header says {len(content):,}"
    ) as error:
        read(toy.path)
    one_line(error)


def test_truncated_anywhere_is_refused(toy):
    content = toy.path.read_bytes()
    for size in range(0, len(content), 501):
        toy.path.write_bytes(content[:size])
        with pytest.raises(DataError, match="truncated|damaged|not an HDF5 file"):
            HDF5Dataset(toy.path, "train", "velocity", "heat")


def test_external_storage(plain, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"a secret of forty bytes " * 14)
    path = plain(lambda f: f.create_dataset("u", (5, 8), "u1", external=[(str(secret), 0, 40)]))
    with pytest.raises(DataError, match=r"x\.h5:/u points outside the file \(external storage '.*secret\.txt'\)") as error:
        read(path)
    one_line(error)


def test_external_link(plain, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["u"] = np.ones((5, 8))
    path = plain(lambda f: f.__setitem__("u", h5py.ExternalLink("other.h5", "/u")))
    with pytest.raises(DataError, match=r"x\.h5:/u points outside.*external link to '/u' in 'other\.h5'"):
        read(path)


def test_external_link_in_the_schema(toy, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other, h5py.File(toy.path, "r+") as file:
        file.copy("train/t0_fields", other)
        del file["train/t0_fields"]
        file["train/t0_fields"] = h5py.ExternalLink("other.h5", "/t0_fields")
    with pytest.raises(DataError, match=r"/train/t0_fields points outside"):
        HDF5Dataset(toy.path, "train", "velocity", "heat")


@pytest.mark.parametrize("target", ["/u", "/a", "/nowhere", "/link/loop"])
def test_soft_links_are_not_followed(plain, target):
    path = plain(lambda f: f.__setitem__("u", h5py.SoftLink(target)))
    with pytest.raises(DataError, match=f"x.h5:/u points outside its place .soft link to '{target}'"):
        read(path)


def test_virtual_dataset(plain, tmp_path):
    layout = h5py.VirtualLayout((5, 8), "f8")
    layout[:] = h5py.VirtualSource("missing.h5", "u", (5, 8))
    path = plain(lambda f: f.create_virtual_dataset("u", layout))
    with pytest.raises(DataError, match=r"points outside the file \(virtual dataset of 'missing\.h5'\)"):
        read(path)


def test_huge_claim(plain):
    path = plain(lambda f: f.create_dataset("u", (5, 10**12), "f8", chunks=(1, 1000)))
    with pytest.raises(DataError, match=r"u claims 36\.4 TiB but the file has [0-9,]+ bytes; refused \(limit 64 × file size\)"):
        read(path, input="u")


def test_huge_chunk(plain):
    path = plain(lambda f: f.create_dataset("u", (5, 8), "f8", chunks=(5, 10**6), maxshape=(5, None)))
    with pytest.raises(DataError, match=r"u claims 38\.1 MiB"):
        read(path)


def test_data_that_were_never_written(plain):
    path = plain(lambda f: f.create_dataset("u", (5, 8), "f8"))
    with pytest.raises(DataError, match="incomplete: part of it was never written"):
        read(path)

    def half(file):
        file.create_dataset("u", (5, 8), "f8", chunks=(1, 8))[:3] = 1

    with pytest.raises(DataError, match="incomplete"):
        read(plain(half))


def test_filter_plugin(plain):
    def zstandard(file):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 8))
        properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((5, 8))
        h5py.h5d.create(file.id, b"u", h5py.h5t.NATIVE_DOUBLE, space, properties)

    with pytest.raises(DataError, match="needs the filter plug-in 32015"):
        read(plain(zstandard))


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_filters_that_need_no_plugin_are_read(plain, compression):
    values = np.random.default_rng(0).normal(size=(5, 8))
    path = plain(lambda f: f.create_dataset("u", data=values, compression=compression, shuffle=True))
    np.testing.assert_array_equal(read(path).read_all().target[:, 0], values.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.ones((5, 8), complex), "records|complex128"),
        (np.ones((5, 8), [("x", "f4"), ("y", "f4")]), "records"),
        (np.full((5, 8), b"text"), "strings"),
    ],
)
def test_types_that_are_not_numbers(plain, values, kind):
    with pytest.raises(DataError, match=f"u holds ({kind}), wanted real floats"):
        read(plain(lambda f: f.create_dataset("u", data=values)))


def test_lists_strings_and_references_are_refused(plain):
    for kind, name in (
        (h5py.vlen_dtype(np.float64), "lists of varying length"),
        (h5py.string_dtype(), "strings"),
        (h5py.ref_dtype, "references"),
    ):
        with pytest.raises(DataError, match=f"u holds {name}"):
            read(plain(lambda f, kind=kind: f.create_dataset("u", (5, 8), kind)))


def test_file_that_is_being_written(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["u"] = np.ones((5, 8))
        file.flush()
        script = f"from neuralop_jax.data import read_info; read_info({str(tmp_path / 'x.h5')!r})"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "is being written by another process" in result.stderr


def test_user_block_is_accepted(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=2048) as file:
        file["a"] = np.arange(40.0).reshape(5, 8)
    with open_hdf5(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["a"], np.arange(40.0).reshape(5, 8))


MUTATE = textwrap.dedent("""
    import sys
    import numpy as np
    from neuralop_jax.data import HDF5Dataset, describe, read_info, verify
    from neuralop_jax.errors import DataError

    path, flips, count, schema = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "schema"
    names = ("train", ("velocity", "solid"), "heat") if schema else ("train", "a", "u")
    content = np.fromfile(path, np.uint8)
    info, values = read_info(path), HDF5Dataset(path, *names).read_all()
    rng, found, harmless = np.random.default_rng(0), 0, 0
    for _ in range(count):
        broken = content.copy()
        for place in rng.integers(len(content), size=flips):
            broken[place] ^= 1 << rng.integers(8)
        broken.tofile(path + ".x")
        try:
            verify(path + ".x")
            describe(path + ".x")
            same = read_info(path + ".x")
            other = HDF5Dataset(path + ".x", *names).read_all()
        except DataError as error:
            assert "\\n" not in str(error)
            found += 1
            continue
        if schema:
            assert same == info, "a changed description went unnoticed"
            np.testing.assert_array_equal(other.target, values.target)
            np.testing.assert_array_equal(other.inputs["u"], values.inputs["u"])
        harmless += 1
    print(found, harmless)
""")


def mutate(path, flips, count, kind):
    command = [sys.executable, "-c", MUTATE, str(path), str(flips), str(count), kind]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    return map(int, result.stdout.split())


def test_any_flipped_bit_of_our_files_is_found_or_harmless(toy):
    found, harmless = mutate(toy.path, 1, 300, "schema")
    assert found + harmless == 300
    assert found > 150


def test_mutated_foreign_files_raise_data_errors_only(plain):
    found, _ = mutate(plain(), 8, 200, "plain")
    assert found > 20
