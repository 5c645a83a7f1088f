import tempfile

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from neuralop_jax.data import _matlab, _matlab_process, open_source
from neuralop_jax.data._matlab import list_mat, read_mat
from neuralop_jax.errors import DataError

VALUES = np.random.default_rng(0).normal(size=(5, 6, 7, 8))  # samples, x, y, time: no two lengths equal


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where temporary files go, to see that none is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def save_hdf5(path, change):
    """A file as MATLAB 7.3 writes it: HDF5 behind 512 bytes that start with a text, all axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        change(file)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2018 HDF5 schema 1.00 .".ljust(124))
        file.write(b"\x00\x02IM")
    return path


def variable(file, name, values, kind=""):
    file.create_dataset(name, data=np.asarray(values).T)
    if kind:
        file[name].attrs["MATLAB_class"] = np.bytes_(kind)


def refused(path, match, name=None):
    with pytest.raises(DataError, match=match) as error:
        file = read_mat(path)
        if name is not None:
            np.asarray(file[name])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["5", "5 compressed", "7.3", "7.3 chunked"])
def test_every_version_reads_the_same_array(tmp_path, folder, kind):
    path = tmp_path / "ns.mat"
    if kind.startswith("5"):
        scipy.io.savemat(path, {"u": VALUES, "t": np.arange(8.0)[None]}, do_compression=kind == "5 compressed")
    elif kind == "7.3":
        save_hdf5(path, lambda file: (variable(file, "u", VALUES, "double"), variable(file, "t", np.arange(8.0)[None], "double")))
    else:
        options = {"chunks": (2, 7, 3, 2), "compression": "gzip"}
        save_hdf5(
            path, lambda file: (file.create_dataset("u", data=VALUES.T, **options), variable(file, "t", np.arange(8.0)[None]))
        )
    assert list_mat(path) == {"u": ((5, 6, 7, 8), np.dtype(np.float64)), "t": ((1, 8), np.dtype(np.float64))}
    u = read_mat(str(path))["u"]  # the file itself may go, its arrays stay
    for rows in (slice(1, 3), slice(-1, None), slice(3, 3)):
        np.testing.assert_array_equal(u[rows], VALUES[rows], strict=True)
    np.testing.assert_array_equal(u, VALUES, strict=True)
    np.testing.assert_array_equal(read_mat(path)["t"], np.arange(8.0)[None], strict=True)
    assert list(folder.iterdir()) == []


CLASSES = {
    "single": VALUES.astype(np.float32),
    "logical": VALUES > 0,
    "int16": np.arange(-3, 3, dtype=np.int16).reshape(2, 3),
    "uint8": np.arange(6, dtype=np.uint8).reshape(3, 2),
    "double": np.array([[0.5]]),
}
OTHERS = {"text": "char", "cell": "cell", "struct": "struct", "sparse": "sparse"}


def test_classes_of_version_5(tmp_path):
    path = tmp_path / "x.mat"
    others = {"text": "abc", "cell": np.array([1, "x"], object), "struct": {"a": 1}, "sparse": scipy.sparse.eye(3)}
    more = {"none": np.zeros((0, 3)), "complex": VALUES + 1j, "small": np.full((400, 300), 3.0)}
    scipy.io.savemat(path, CLASSES | others | more)
    file = read_mat(path)
    for name, values in (CLASSES | {"none": more["none"]}).items():
        np.testing.assert_array_equal(file[name], values, strict=True)
    assert set(file) == {*CLASSES, "none", "small"} and set(file.notes) == {*OTHERS, "complex"}
    for name, kind in OTHERS.items():
        with pytest.raises(DataError, match=f"x.mat:{name} is a {kind} variable, wanted numbers"):
            file[name]
    refused(path, "x.mat:complex holds complex double numbers, wanted real numbers. Split a complex field", "complex")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_complex_variable_does_not_keep_others_from_being_read(tmp_path, compressed):
    path, u = tmp_path / "x.mat", np.arange(12.0).reshape(3, 4)
    content = {"shift": 1 + 2j, "u": u, "spectrum": (u + 1j).astype(np.complex64), "nu": 0.5}
    scipy.io.savemat(path, content, do_compression=compressed)
    source = open_source(path, layout="u: samples x")
    np.testing.assert_array_equal(source.fields["u"].read(0, 3), u)
    assert set(source.fields) == {"u"} and source.parameters == {"nu": 0.5}
    kinds = {"shift": "double", "spectrum": "single"}
    for name, kind in kinds.items():
        note = f"{path}:{name} holds complex {kind} numbers, wanted real numbers. Split a complex field into two channels"
        assert note in source.notes


def test_numbers_that_are_stored_in_a_smaller_type(tmp_path, folder):
    """MATLAB stores doubles that are small integers in bytes, such as a coefficient of 3 and 12."""
    path, content = tmp_path / "x.mat", np.where(VALUES > 0, 12, 3).astype(np.uint8)[..., 0]
    scipy.io.savemat(path, {"coeff": content})
    raw = bytearray(path.read_bytes())
    assert raw[128 + 16] == 9  # mxUINT8_CLASS
    raw[128 + 16] = 6  # mxDOUBLE_CLASS
    path.write_bytes(raw)
    np.testing.assert_array_equal(read_mat(path)["coeff"], content.astype(float), strict=True)


def test_big_endian_files(tmp_path):
    path = tmp_path / "x.mat"
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    number = lambda *values: np.array(values, ">u4").tobytes()
    array = number(6, 8, 6, 0) + number(5, 8, 2, 3) + number(1, 1) + b"a" + bytes(7)
    array += number(9, 48) + np.arange(6, dtype=">f8").tobytes()
    path.write_bytes(header + number(14, len(array)) + array)
    np.testing.assert_array_equal(read_mat(path)["a"], np.arange(6.0).reshape(3, 2).T, strict=True)


def test_classes_of_version_7_3(tmp_path):
    def content(file):
        for name, values in CLASSES.items():
            variable(file, name, values.astype(np.uint8) if name == "logical" else values, name)
        variable(file, "bytes", np.array([[0, 1, 2]], np.uint8), "logical")
        variable(file, "text", np.array([[65, 66]], np.uint16), "char")
        file.create_dataset("cell", (1, 1), h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")
        file.create_group("struct").attrs["MATLAB_class"] = np.bytes_("struct")
        file.create_group("sparse").attrs["MATLAB_sparse"] = np.uint64(3)
        file["sparse"].attrs["MATLAB_class"] = np.bytes_("sparse")
        variable(file, "complex", np.zeros((2, 3), [("real", "f8"), ("imag", "f8")]), "double")
        variable(file, "none", np.array([0, 3], np.uint64), "double")
        file["none"].attrs["MATLAB_empty"] = np.uint8(1)
        file.create_group("#refs#")["a"] = 1.0

    path = save_hdf5(tmp_path / "x.mat", content)
    file = read_mat(path)
    for name, values in CLASSES.items():
        np.testing.assert_array_equal(file[name], values, strict=True)
    np.testing.assert_array_equal(file["bytes"], [[False, True, True]], strict=True)
    assert set(file) == {*CLASSES, "bytes"}
    assert set(file.notes) == {*OTHERS, "complex", "none"}
    for name, kind in OTHERS.items():
        refused(path, f"x.mat:/{name} is a {kind} variable, wanted numbers", name)
    refused(path, "x.mat:/complex holds (records|complex128), wanted real floats", "complex")
    refused(path, "x.mat:/none is empty", "none")


def test_hostile_version_7_3(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"a secret of forty bytes " * 14)

    def content(file):
        variable(file, "good", VALUES)
        file["soft"] = h5py.SoftLink("/good")
        file["link"] = h5py.ExternalLink("other.h5", "/u")
        file.create_dataset("storage", (5, 8), "u1", external=[(str(secret), 0, 40)])
        file.create_dataset("huge", (5, 10**12), "f8", chunks=(1, 1000))

    path = save_hdf5(tmp_path / "x.mat", content)
    np.testing.assert_array_equal(read_mat(path)["good"], VALUES)
    assert list(list_mat(path)) == ["good"]
    refused(path, "x.mat:/soft points outside its place .soft link to '/good'", "soft")
    refused(path, "x.mat:/link points outside its place .external link", "link")
    refused(path, "x.mat:/storage points outside the file .external storage", "storage")
    refused(path, r"x.mat:/huge claims 36\.4 TiB", "huge")


def test_damaged_values_of_version_7_3(tmp_path):
    save_hdf5(tmp_path / "x.mat", lambda file: file.create_dataset("u", data=VALUES.T, chunks=(8, 7, 6, 5), compression="gzip"))
    content = bytearray((tmp_path / "x.mat").read_bytes())
    content[-1000:-900] = bytes(100)
    (tmp_path / "x.mat").write_bytes(content)
    refused(tmp_path / "x.mat", "x.mat:/u is damaged", "u")


def test_truncated_version_7_3(tmp_path):
    path = save_hdf5(tmp_path / "x.mat", lambda file: variable(file, "u", VALUES))
    content = path.read_bytes()
    for size in (100, 512, 600, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refused(path, "is truncated|is damaged|is not an HDF5 file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is not a MATLAB file of version 5 or 7.3 .starts with '<!DOCTYPE html><'.*web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"text " * 300, "is not a MATLAB file"),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    refused(path, message)


def test_version_4_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"a": np.ones((3, 4))}, format="4")
    refused(tmp_path / "x.mat", r"looks like a MATLAB 4 file.*-v7\.3")


def test_missing_files_and_folders(tmp_path):
    refused(tmp_path / "none.mat", r"no such file: .*none\.mat \(looked in ")
    refused(tmp_path, "is a directory")


def test_hdf5_without_the_text_of_matlab(tmp_path):
    for size in (0, 1024):
        with h5py.File(tmp_path / "x.mat", "w", userblock_size=size) as file:
            file["u"] = VALUES.T
        np.testing.assert_array_equal(read_mat(tmp_path / "x.mat")["u"], VALUES)


def version_5():
    """The bytes of a small uncompressed file, the same on every day."""
    with tempfile.TemporaryFile() as file:
        values = {"a": np.arange(30.0).reshape(5, 6), "b": np.arange(8.0) > 3, "c": np.ones((1, 2), np.float32)}
        scipy.io.savemat(file, values)
        file.seek(116)
        return b"MATLAB 5.0 MAT-file".ljust(116) + file.read()


def test_names_that_are_wrong_or_there_twice(tmp_path):
    path, content = tmp_path / "x.mat", version_5()
    place = content.index(b"b\x00\x00\x00")
    for name, message in ((b"a", "x.mat:'a' is there twice"), (b"-", "a name that MATLAB would not give")):
        path.write_bytes(content[:place] + name + content[place + 1 :])
        refused(path, message, name.decode())


def test_a_claim_beyond_the_file(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"zero": np.zeros((1000, 1000)), "a": VALUES}, do_compression=True)
    refused(tmp_path / "x.mat", r"x.mat:zero claims shape \(1000, 1000\); refused \(limit 64 × file size\)", "zero")
    np.testing.assert_array_equal(read_mat(tmp_path / "x.mat")["a"], VALUES)


WORKERS = {
    "crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"\(reader crashed, signal 11\)"),
    "hang": ("import time; time.sleep(60)", "reader took more than 1 s"),
    "exit": ("raise SystemExit(3)", "reader gave no answer, code 3"),
    "error": ('answer(\'{"error": "a\\\\nb"}\')', r"\(a b\)"),
    "list": ("answer('[1, 2]')", r"\(\[1, 2\]\)"),
    "nonsense": ("answer('{')", "reader gave no answer, code 0"),
    "deep": ("answer('[' * 10**6)", "reader gave no answer"),
    "no list": ("answer('{}')", "reader gave no answer"),
    "wrong list": ("answer('{\"variables\": [1]}')", "reader gave no answer"),
    "full": ('answer(\'{"error": "x", "full": true}\')', "needs .* in .*temporary, which is full. Set TMPDIR"),
}
PRELUDE = "import sys\nfrom pathlib import Path\nanswer = Path(sys.argv[2], 'answer.json').write_text\n"


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "x.mat"
    path.write_bytes(version_5())
    return path


@pytest.fixture
def replace(tmp_path, monkeypatch):
    """Puts another program in the place of the reader."""

    def replace(code):
        worker = tmp_path / "worker.py"
        worker.write_text(PRELUDE + code)
        monkeypatch.setattr(_matlab_process, "WORKER", worker)
        monkeypatch.setattr(_matlab_process, "SECONDS", 0.9 if "sleep" in code else 20)

    return replace


@pytest.mark.parametrize("name", WORKERS)
def test_whatever_the_reader_does_becomes_an_error(small, folder, replace, name):
    code, message = WORKERS[name]
    replace(code)
    whole = "" if name == "full" else r".*The file is damaged or hostile; nothing was loaded\."
    refused(small, message + whole)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("answer('{}')", "reader gave no values"),
        ("answer('{}'); Path(sys.argv[2], 'values.npy').write_bytes(b'PK\\x03\\x04')", "reader gave no values"),
        ("import numpy as np; np.save(sys.argv[2] + '/values', np.ones((6, 5))); answer('{}')", r"read as float64 \(6, 5\)"),
        ("import numpy as np; np.save(sys.argv[2] + '/values', np.array([answer])); answer('{}')", "reader gave no values"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGBUS)", r"reader crashed, signal \d+"),
    ],
)
def test_a_reader_that_lies_about_values(small, folder, replace, code, message):
    a = read_mat(small)["a"]
    replace(code.replace("np.array([answer])", "np.array([{}])"))
    with pytest.raises(DataError, match=message):
        a[:]
    assert list(folder.iterdir()) == []


def test_limits_reach_the_reader(small, monkeypatch):
    monkeypatch.setattr(_matlab_process, "MEMORY", 2**26)
    refused(small, "cannot be parsed")


def test_a_full_disk(small, folder, monkeypatch):
    monkeypatch.setattr(_matlab_process, "MEMORY", 2**30)
    a = read_mat(small)["a"]
    worker = small.parent / "full.py"
    source = _matlab_process.WORKER.read_text()
    worker.write_text(source.replace("    with open(target", "    raise OSError(errno.ENOSPC, 'full')\n    with open(target"))
    monkeypatch.setattr(_matlab_process, "WORKER", worker)
    with pytest.raises(DataError, match=r"x\.mat needs .* in .*temporary, which is full"):
        a[:]


CRASHES = (52, 55, 112, 155)  # mutations on which SciPy 1.17.1 is killed by a signal; the others are arbitrary


@pytest.mark.parametrize("seed", [*CRASHES, *range(4)])
def test_mutated_version_5_never_harms(small, folder, monkeypatch, seed):
    monkeypatch.setattr(_matlab_process, "SECONDS", 4)
    rng, content = np.random.default_rng(seed), np.frombuffer(version_5(), np.uint8).copy()
    for place in rng.integers(128, len(content), size=4):
        content[place] = rng.integers(256)
    content.tofile(small)
    try:
        for array in read_mat(small).values():
            assert np.asarray(array).shape == array.shape
    except DataError as error:
        assert str(error).startswith(str(small)) and "\n" not in str(error)
    assert list(folder.iterdir()) == []


def test_truncated_version_5(small):
    content = small.read_bytes()
    for size, name in ((19, "a"), (130, "a"), (200, "a"), (len(content) - 1, "c")):
        small.write_bytes(content[:size])
        refused(small, "cannot be parsed", name)


def test_numeric_classes_are_those_of_matlab():
    assert set(_matlab.TYPES) == {"double", "single", "logical", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64))}
