import copyreg
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from torch_pickles import DATA, FLOATS, ONE, PARAMETER, STATE, dictionary, float32, integers, refused, tensor, text, unpacked

from neuralop_jax.data import _pickle_opcodes
from neuralop_jax.data._torch_file import read_torch
from neuralop_jax.errors import DataError

COMMAND = "touch marker"


class Reduced:
    def __reduce__(self):
        return os.system, (COMMAND,)


class New:
    def __new__(cls, *arguments):
        return super().__new__(cls)

    def __getnewargs__(self):
        return (COMMAND,)


SYSTEM = b"cposix\nsystem\n"
CALL = b"(" + text(COMMAND) + b"t"
ATTACKS = {
    **{f"reduce {p}": (pickle.dumps(Reduced(), p), r"'posix\.system' at byte") for p in range(2, 6)},
    **{f"new {p}": (pickle.dumps(New(), p), r"test_torch_hostile\.New' at byte") for p in range(2, 6)},
    "reduce": (SYSTEM + CALL + b"R.", r"'posix\.system' at byte 0"),
    "in a tensor": (b"\x80\x02}" + text("x") + SYSTEM + CALL + b"Rs.", r"'posix\.system' at byte 9"),
    "memo": (b"\x80\x02" + SYSTEM + b"q\x000h\x00" + CALL + b"R.", r"'posix\.system' at byte 2"),
    "stack global": (b"\x80\x04" + text("posix") + text("system") + b"\x93" + CALL + b"R.", r"'posix\.system' at byte 23"),
    "dotted": (b"\x80\x04" + text("torch") + text("os.system") + b"\x93" + CALL + b"R.", r"'torch\.os\.system' at byte 26"),
    "stack global of no texts": (b"K\x01K\x01\x93.", r"\(STACK_GLOBAL\) at byte 4"),
    "eval": (b"cbuiltins\neval\n(" + text("1/0") + b"tR.", r"'builtins\.eval' at byte 0"),
    "import": (b"cbuiltins\n__import__\n.", r"'builtins\.__import__'"),
    "getattr": (b"cbuiltins\ngetattr\n(ctorch\nFloatStorage\n" + text("__init__") + b"tR.", r"'builtins\.getattr'"),
    "torch.load": (b"ctorch\nload\n(" + text("other.pt") + b"tR.", r"'torch\.load'"),
    "inst": (b"(" + text(COMMAND) + b"iposix\nsystem\n.", r"0x69 \(INST\) at byte 18"),
    "obj": (b"(" + SYSTEM + text(COMMAND) + b"o.", r"'posix\.system' at byte 1"),
    "obj of an allowed name": (b"(ccollections\nOrderedDict\no.", r"0x6f \(OBJ\) at byte 26"),
    "newobj": (b"ccollections\nOrderedDict\n)\x81.", r"0x81 \(NEWOBJ\) at byte 26"),
    "newobj_ex": (b"ccollections\nOrderedDict\n)}\x92.", r"0x92 \(NEWOBJ_EX\)"),
    "ext1": (b"\x82\x01" + CALL + b"R.", r"0x82 \(EXT1\) at byte 0"),
    "ext2": (b"\x83\x01\x00" + CALL + b"R.", r"0x83 \(EXT2\)"),
    "ext4": (b"\x84\x01\x00\x00\x00" + CALL + b"R.", r"0x84 \(EXT4\)"),
    "persid": (b"Pstorage\n.", r"0x50 \(PERSID\) at byte 0"),
    "buffer": (b"\x97.", r"0x97 \(NEXT_BUFFER\)"),
    "build a name": (b"ccollections\nOrderedDict\n" + dictionary({"x": b"N"}) + b"b.", "sets attributes of what is not a dict"),
    "build a storage": (text("storage") + b"Q}b.", "sets attributes"),
    "call a text": (text("os.system") + CALL + b"R.", "calls what is not a name"),
    "call a storage": (b"ctorch\nFloatStorage\n" + CALL + b"R.", "tensor is not an ordinary dense tensor"),
    "dictionary with arguments": (b"ccollections\nOrderedDict\n" + CALL + b"R.", "not an ordinary dense tensor"),
    "unknown": (b"\xff.", r"0xff \(unknown to torch\.save\)"),
    "old integer": (b"I1\n.", "0x49"),
    "old text": (b"S'x'\n.", "0x53"),
    "pop": (b"N0N.", r"\(POP\)"),
}


@pytest.fixture
def extension():
    """Makes the number 1 stand for os.system in pickles."""
    copyreg.add_extension("posix", "system", 1)
    yield
    copyreg.remove_extension("posix", "system", 1)


@pytest.mark.parametrize("name", ATTACKS)
def test_malicious_pickles_are_refused_and_never_run(write, tmp_path, monkeypatch, extension, name):
    monkeypatch.chdir(tmp_path)
    content, message = ATTACKS[name]
    refused(write(content, FLOATS.tobytes(), whole=True), message)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["reduce", "reduce 5", "stack global", "inst", "obj", "ext1"])
def test_the_attacks_would_work(tmp_path, monkeypatch, extension, name):
    monkeypatch.chdir(tmp_path)
    pickle.loads(ATTACKS[name][0])
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_bare_pickles_are_never_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps(Reduced(), protocol))
    refused(path, "pickle, which can run code|pickle-based file, which can run code")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
            r"format before version 1\.6.*save it again.*torch\.save",
        ),
        (b"<!DOCTYPE html>", "is not a PyTorch file .starts with '<!DOCTYPE html>'.*web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(100), "is truncated"),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "x"
    path.write_bytes(content)
    refused(path, message)


def test_old_tar_files(tmp_path):
    with tarfile.open(tmp_path / "x.pt", "w") as file:
        file.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    refused(tmp_path / "x.pt", r"format before version 1\.6")


def test_missing_files_and_folders(tmp_path):
    refused(tmp_path / "none.pt", r"no such file: .*none\.pt \(looked in ")
    refused(tmp_path, "is a directory")


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (float32(24, 0, (25,), (1,)), "x.pt:tensor reaches element 24 of a storage of 24"),
        (float32(24, 1, (24,), (1,)), "reaches element 24"),
        (float32(24, 0, (5, 5), (6, 1)), "reaches element 28"),
        (float32(24, 0, (2, 2), (2**62, 2**62)), "reaches element 9,223,372,036,854,775,808"),
        (float32(24, 2**62, (1,), (1,)), "reaches element 4,611,686,018,427,387,904"),
        (float32(24, 0, (10**12,), (0,)), r"tensor claims 3\.6 TiB; refused \(limit 64 × file size\)"),
        (float32(24, 0, (0, 2**62), (1, 1)), "claims 16.0 EiB"),
        (float32(24, 0, (2**62,) * 64, (0,) * 64), "claims"),
        (float32(24, 0, (1,) * 65, (0,) * 65), "not an ordinary dense tensor"),
        (float32(24, 0, (3,), (-1,)), "not an ordinary"),
        (float32(24, -1, (3,), (1,)), "not an ordinary"),
        (float32(24, 0, (-3,), (1,)), "not an ordinary"),
        (float32(24, 0, (3,), (1, 1)), "not an ordinary"),
        (float32(-24, 0, (3,), (1,)), "not an ordinary"),
        (float32(24, 0, (3,), (1,), hooks=b"N"), "not an ordinary"),
        (float32(24, 0, (3,), (1,), hooks=dictionary({"hook": b"N"})), "not an ordinary"),
        (float32(24, 0, (3,), (1,), rest=dictionary({"conj": b"\x88"})), r"conjugated or negated.*resolve_conj"),
        (float32(23, 0, (3,), (1,)), "wants a storage '0' of 92 bytes; it has 96 bytes"),
        (float32(2**62, 0, (3,), (1,)), "it has 96 bytes"),
        (tensor("DoubleStorage", "0", 24, 0, (3,), (1,)), "of 192 bytes; it has 96"),
        (tensor("FloatStorage", "1", 24, 0, (3,), (1,)), "'1' of 96 bytes; there is none"),
        (tensor("FloatStorage", "../../secret", 24, 0, (3,), (1,)), "'../../secret' of 96 bytes; there is none"),
        (PARAMETER + PARAMETER + ONE + b"\x89}tR\x89}tR", "not an ordinary"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(" + integers((1, 2, 3)) + b"tR", "not an ordinary"),
        (b"ctorch._utils\n_rebuild_tensor_v3\n(" + ONE + b"tR", "not an ordinary"),
        (dictionary({"a": dictionary({"b": ONE}), "a/b": ONE}), "gives the name 'a/b' twice"),
        (b"}" + ONE + ONE + b"s", "keys that are neither texts nor integers"),
        (b"}" + integers((1, 2)) + b"Ns", "keys that are neither"),
        (b"}(K\x01u", "sets items of what is not a dictionary"),
        (b"]K\x01K\x02s", "sets items"),
        (b"}K\x01a", "appends to what is not a list"),
        (b"h\x05", "an instruction lacks what it needs .byte 2."),
        (b"t", "lacks what it needs"),
        (b"", "does not end with one value"),
        (b"(N", "does not end with one value"),
        (b"NN", "does not end with one value"),
        (b"N.N", "does not end with one value"),
        (b"\x8a\x09" + bytes(9), "more than 64 bits"),
        (b"X\xff\xff\xff\x7fx", "ends too early .byte 2."),
        (b"\x8d" + b"\xff" * 8 + b"x", "ends too early"),
        (b"X\x01\x00\x00\x00\xff", "lacks what it needs"),
        (b"ctorch", "ends inside a name"),
    ],
)
def test_wrong_claims(write, instructions, message):
    refused(write(instructions, FLOATS.tobytes()), message)


def test_containers_that_grow_without_end(write, monkeypatch):
    doubled = lambda level: b"}(" + text("a") + b"h%c" % level + text("b") + b"h%c" % level + b"uq%c" % (level + 1)
    refused(write(b"(}q\x00" + b"".join(map(doubled, range(60))) + b"t"), "over 65,536 values or 64 levels")
    refused(write(b"]q\x00h\x00a"), "over 65,536 values or 64 levels")
    refused(write(b"]" * 70 + b"a" * 69), "64 levels")
    refused(write(b")" + b"\x85" * 100_000), "64 levels")
    refused(write(dictionary({"a" * 1025: b"N"})), "a name of more than 1024 letters")
    refused(write(dictionary({"a\n\x1b[2J": b"N"})), "a name of more than 1024 letters or with unprintable ones")
    monkeypatch.setattr(_pickle_opcodes, "MAX_INSTRUCTIONS", 100)
    refused(write(b"K\x01" * 101), "more than 100 instructions")
    monkeypatch.setattr(_pickle_opcodes, "MAX_BYTES", 100)
    refused(write(b"K\x01" * 101), "has 205 bytes, more than 100")


def test_compressed_members(write):
    refused(write(ONE, bytes(10**6), compression=zipfile.ZIP_DEFLATED), r"'x/data\.pkl' is compressed")


def test_encrypted_members(write):
    path = write(ONE, FLOATS.tobytes())
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "'x/data/0' is encrypted")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_named_twice(write):
    refused(write(ONE, FLOATS.tobytes(), more=[("x/data/0", bytes(96))]), "'x/data/0' is in the archive twice")


def test_members_elsewhere_are_not_storages(write):
    elsewhere = [(name, FLOATS.tobytes()) for name in ("data/0", "y/data/0", "x/../x/data/0")]
    refused(write(ONE, more=elsewhere), "storage '0' of 96 bytes; there is none")


def test_archives_of_something_else(write, tmp_path):
    refused(write(ONE, FLOATS.tobytes(), more=[("y/data.pkl", b"N.")]), r"without PyTorch's data\.pkl")
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    refused(tmp_path / "x.npz", r"without PyTorch's data\.pkl")


def test_byte_order(write):
    path = write(ONE, FLOATS.tobytes(), more=[("x/byteorder", b"little")])
    np.testing.assert_array_equal(read_torch(path)["tensor"], FLOATS)
    refused(write(ONE, FLOATS.tobytes(), more=[("x/byteorder", b"big")]), "has the byte order b'big', wanted b'little'")


def test_the_checksum_of_the_pickle(tmp_path):
    path, content = tmp_path / "x.pt", unpacked(DATA)
    path.write_bytes(content.replace(b"X\x01\x00\x00\x00y", b"X\x01\x00\x00\x00z"))
    refused(path, r"data\.pkl is damaged: its CRC-32 differs")


def change(content, place, values):
    return content[:place] + values + content[place + len(values) :]


def test_lies_of_the_archive(tmp_path):
    path, content = tmp_path / "x.pt", unpacked(DATA)
    header, entry, large = (content.rindex(mark) for mark in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x06\x06"))
    end = content.rindex(b"PK\x05\x06")
    for broken, message in (
        (change(content, entry + 20, struct.pack("<LL", 10**6, 10**6)), "ends behind the end of the file"),
        (change(content, entry + 42, struct.pack("<L", header + 1)), "its directory and the header of .* differ"),
        (change(content, entry + 42, struct.pack("<L", 0xFFFFFFFF)), "directory is cut off"),
        (change(content, header + 35, b"?"), "its directory and the header of .* differ"),
        (change(content, large + 32, struct.pack("<Q", 9)), "names fewer members than it counts"),
        (change(content, large + 32, struct.pack("<Q", 10**6)), "has 1,000,000 members, more than 100,000"),
        (change(content, large + 48, struct.pack("<Q", 2**63)), "directory is cut off"),
        (change(content, large + 16, struct.pack("<L", 1)), "split archive"),
        (change(content, end - 20, b"PK\x06\x07" + bytes(4) + b"\xff" * 8), "zip64 record is missing"),
    ):
        path.write_bytes(broken)
        refused(path, message)


def test_zip64_archives(tmp_path):
    """The fields that PyTorch writes for files above 4 GiB, on a small one."""
    path, content = tmp_path / "x.pt", unpacked(DATA)
    end = content.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HLL", content, end + 10)
    first = start + 46 + struct.unpack_from("<H", content, start + 28)[0]
    (length,), (place,) = struct.unpack_from("<L", content, start + 24), struct.unpack_from("<L", content, start + 42)
    entry = change(content[start:first], 20, b"\xff" * 8)
    entry = change(change(entry, 42, b"\xff" * 4), 30, struct.pack("<H", 28))
    directory = entry + struct.pack("<HHQQQ", 1, 24, length, length, place) + content[first : start + size]
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(directory), 1)
    last = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(content[:start] + directory + record + locator + last)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    np.testing.assert_array_equal(read_torch(path)["y"], np.arange(24).reshape(2, 3, 4) / 8)


@pytest.mark.parametrize("fixture", [DATA, STATE])
def test_truncated_anywhere_is_refused(tmp_path, fixture):
    path, content = tmp_path / "x.pt", unpacked(fixture)
    for size in range(0, len(content), 37):
        path.write_bytes(content[:size])
        refused(path, "truncated|pickle-based|directory is cut off")


@pytest.mark.parametrize("checked", [True, False])
def test_mutated_files_raise_data_errors_only(tmp_path, checked):
    rng, path, content = np.random.default_rng(0), tmp_path / "x.pt", unpacked(STATE)
    if not checked:  # as with torch.serialization.set_crc32_options(False), so that what is in the pickle is reached
        content = change(content, content.index(b"PK\x01\x02") + 16, bytes(4))
    content, found = np.frombuffer(content, np.uint8), 0
    for _ in range(400):
        broken = content.copy()
        for place in rng.integers(len(broken) if checked else 1100, size=rng.integers(1, 6)):
            broken[place] = rng.integers(256)
        broken.tofile(path)
        try:
            for array in read_torch(path).values():
                assert np.asarray(array).shape == array.shape
        except DataError as error:
            assert "\n" not in str(error)
            found += 1
    assert found > 100
