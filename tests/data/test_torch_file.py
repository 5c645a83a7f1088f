import base64
import copyreg
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib

import ml_dtypes
import numpy as np
import pytest

from neuralop_jax.data import _pickle_opcodes, _torch_file
from neuralop_jax.data._torch_file import list_torch, read_torch
from neuralop_jax.errors import DataError

# Written by torch.save of PyTorch 2.13.0, then compressed. With n = arange(24).reshape(2, 3, 4), both stored column-major:
# {"x": n % 3 == 0, "y": n.double() / 8}
DATA = """
eNqdld9r01AUx2+SNs2i88d+MWE4ZA924Lokbdp1qBthBCEPdhVh+BL6I1uDWbOb3s5NGAgiY/jiX+Cj/4I+zidf3Yv44IM4HxQFRUSHiJib3tYk7bq6C8nJ
Se75nk/vPfc0pzERADgOtI1h0A+WzQ1Udwy9XECFaXxLrN22VKUP3GqOe/QWBPElyg3YgFQJ2U6pktDryLRqvO4YxbpplXVkVGu2o69LPKTj8aWYO7nmziys
GJBphPCKbVs3Gu94GPH0BBhdYlxbWqtDVhtFMLaoAY3WGC2yDTmNch/Zbdi3UyrZlmWUkGlXa/x1p2w4RnnBLCEe8pN5eALBk3nY7yluwlMVF6DSTLpg14uW
0Up72pskwjMVL91ZX7qBZrrBnQpWHUJwOA9H6omcFuMWn+xnAA51r9yh6zkG0sH1TCzbzmoB6euGU3PZVUX6t6w9DxEDPP3y5j7J3wVgHEghALIJesEyV6qr
RhWpSuI/GdIpDDB3B36k3RR0V4ARMBsEKG4iw8YbpirpY/x2PCwTIcvADA+u7J9j3SxsV4ZBkG2v6mlBVeTjAVBUUxk/NS9MEOOuHTz8Oeo+jx5BdLEDkagq
E70QBbUO5hr2LbFgvmG+Ej9C/F3i/yL2PbEU+f6N+FHivyT+b2I/EEuT79+JzxL/NfH/EPuZWIZ8/0H82DxeJ+HCi61dTNV1nYbA1eA6tc7N7DFrB48kjwn2
Hq/cPLp+J8BU6AB595rhmO4JulvAHUg3y6oy2TuQIKdFUZiRpWRazKYzgixlU2IqJWdmMsmUkJbkrJzMSkIWU15+Jz2Puxxxj5LCsC1Ofw8abiPv2MfDEv4u
MhYIz1Gga+sKK/nbwXhAaa9Nqa0HhcX853okIJanwSH9JKzhP4mDAY1XNOjUD8IC/hINClSYTgJiWMBfYUMBgUcR0LGuwwr+3Z8IKAxEQS91mdNY9hIJOc9M
tcK5kE3SDfssSnZfY/E/NvgUI03CexdlGzGcN78x9y8c+cQr
"""
# With base = arange(12, dtype=bfloat16).reshape(3, 4) and model = Linear(2, 1): {"model": model.state_dict(), "weight": model.weight,
# "views": [base, base[1:, ::2], base.T], "short": tensor([1, 65535]).to(uint16), "step": 7}
STATE = """
eNqdVc9v40QUnjhpkpouLEt/pECXspRd79KmsZM4SWG3iVkMyAe6QRVRJRS5yWxt4fx49qRlkSpVQg1wREJwQ5w4IO0ZONE/gAtn0ILEBU78A0jLjJ3NOk7S
lI7kjJO8933fe/Pemy0tHEEoHkdDax7NoLvmh6Rj46pDdILX6zrRk+0PLFWJo53eOuIOAQmVKerQaNWxBaFarWVZuEbMVtPh37Hr2Mb122aN8MBdL0NYqESp
7QE29wwCkRpp2TUjWe0Q03L4qo13O6ZVrxLcdFp2dV/iYUoQKjHq4VBLfQ9D1HPhVaulk3e9H3mIVULUJgXxSpjutXYHpjWOAH9HQ1pI47rwhMZpoS7MfGYw
FRcIPFmGpyo0dLRr6g5cNCiPETU8HBGeNqa1EIFLrv8xPMM+Zj3fOQLzZVjoHEKiMk2Nqw1MdJYaWHT/f7bCsgfPHcLzrvB9bDs0F7CkhRzH2TXGxdzWbZ1C
YZuHy4/UGHHDjeOFfhzLXhwvelquEHipDCuful9e/gSuluGaexb7Jj5wQHgfrgseVi9rips2Ue4n7oYbsASvUKIZAquMKKxFurCmRRhR0iNaJ5Aqg9jTdcPo
mUt3qBXHdKXZSxcynnmWgFyGXNA8z9AjWrgLBRoNJdnwzF8l8FoZbmJXumO0bAK3JlRGmofNx3Ele9XBbzfJvTau98MruuGloUQFRAgoTAB3DK+z87ztkb/R
S03HbNLE8KASeLMMb7m14RDchre1WCe5pcXii0uNH//iEGLP1ti+WUIXAn2TvNuyGzqp9ipBVab77bMjMuDv//ntY6aTPeOBl5EYBO6FXdUtc6/ZwE2iKmuP
sc+y5AwTsHkAf9OgEHeqgAVUCAjYvUdwi7W4qmT/H++jZZmEWJhpOL755yIbDdFTNcyi/IiptJ5Slcy5BCB0sklhT5iCjdXff2aU8QkK5FEKRFWR0Hn4j24x
7n93vv2VVVxkAvfGKG5JVeTzpZ/xb6JisXhU/KZ4UvyjiEoXS8ulVIlp0r5KvJegrIkJmq6O0pRWlStn0BRCDx8yru53D65Njn9uqAL7PXXO+kvzjP2Xr/e2
J9f/CloNNqAbqoNtk3bgRzq786pmXVWEM4sRU7lcXpZyUiFXKOSzGVGWsmIqk8um07lUviDn5HxKTmclpnL7/oOiQHUIrsoQE9vX6Z9N80PKR9/jQQz/GFoa
8M+H0ekzLQjlHyjLA1CfD0MNTbEgmn80LAygXYqgcSMpCOLv7tkBkC8jaORMCSL4e3QQITE1EkEMIvg7ahDhi9EIUhDB3yeDCEJ0JEI6iOCv9blBDUMIY07X
X4grg+cRQ2dqkS0tGl3t+VwOr/X9+cD+E+ftP8S8nfq5bwc9A+/GnIp6Prxr79n+BzSAkp8=
"""


def unpacked(fixture):
    return zlib.decompress(base64.b64decode(fixture))


def text(value):
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    """BININT where it fits, else LONG1 of eight bytes."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def integers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def tensor(kind, key, numbers, offset, shape, strides, hooks=ORDERED_DICT, rest=b""):
    """The call by which PyTorch describes a tensor."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + integer(numbers) + b"tQ"
    place = integer(offset) + integers(shape) + integers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + place + b"\x89" + hooks + rest + b"tR"


def float32(*place, **more):
    return tensor("FloatStorage", "0", *place, **more)


def dictionary(items):
    return b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


FLOATS = np.arange(24, dtype=np.float32)
ONE = float32(24, 0, (24,), (1,))
PARAMETER = b"ctorch._utils\n_rebuild_parameter\n("


@pytest.fixture
def write(tmp_path):
    """Writes an archive as PyTorch does, from the instructions of its pickle and the bytes of its storages."""

    def write(instructions, *storages, more=(), compression=zipfile.ZIP_STORED, whole=False):
        path = tmp_path / "x.pt"
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("x/data.pkl", instructions if whole else b"\x80\x02" + instructions + b".")
            for number, storage in enumerate(storages):
                archive.writestr(f"x/data/{number}", storage)
            for name, content in more:
                archive.writestr(name, content)
        return path

    return write


def refused(path, match):
    with pytest.raises(DataError, match=match) as error:
        read_torch(path)
    assert "\n" not in str(error.value)


def test_columns_of_a_real_file(tmp_path):
    path = tmp_path / "darcy.pt"
    path.write_bytes(unpacked(DATA))
    n = np.arange(24).reshape(2, 3, 4)
    assert list_torch(path) == {"x": ((2, 3, 4), np.dtype(bool)), "y": ((2, 3, 4), np.dtype(np.float64))}
    file = read_torch(str(path))
    np.testing.assert_array_equal(file["x"], n % 3 == 0, strict=True)
    np.testing.assert_array_equal(file["y"], n / 8, strict=True)
    np.testing.assert_array_equal(file["y"][1:2], n[1:2] / 8, strict=True)


def test_parameters_views_and_new_types_of_a_real_file(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(unpacked(STATE))
    file, base = read_torch(path), np.arange(12).reshape(3, 4).astype(ml_dtypes.bfloat16)
    wanted = {
        "model/weight": np.array([[1.5, -2.0]], np.float32),
        "model/bias": np.array([0.25], np.float32),
        "weight": np.array([[1.5, -2.0]], np.float32),
        "views/0": base,
        "views/1": base[1:, ::2],
        "views/2": base.T,
        "short": np.array([1, 65535], np.uint16),
    }
    assert list(file) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(file[name], values, strict=True)
    assert file.notes == {"step": f"{path}:step is int '7', not a tensor."}
    assert "step" not in file
    with pytest.raises(DataError, match="step is int '7', not a tensor"):
        file["step"]
    with pytest.raises(KeyError):
        file["stop"]


@pytest.mark.parametrize(("name", "dtype"), [(name.removeprefix("torch."), d) for name, d in _torch_file.STORAGES.items()])
def test_every_type(write, name, dtype):
    values = (np.arange(6) * 7 % 5).astype(dtype)
    file = read_torch(write(dictionary({"a": tensor(name, "0", 6, 0, (2, 3), (3, 1))}), values.tobytes()))
    np.testing.assert_array_equal(file["a"], values.reshape(2, 3), strict=True)


def test_offsets_strides_and_shared_storages(write):
    views = {
        "whole": float32(24, 0, (4, 6), (6, 1)),
        "part": float32(24, 7, (3, 2), (6, 2)),
        "columns": float32(24, 0, (2, 3, 4), (1, 2, 6)),
        "repeated": float32(24, 5, (3, 4), (0, 1)),
        "number": float32(24, 23, (), ()),
        "empty": float32(24, 24, (0, 3), (3, 1)),
        "one": float32(24, 23, (1, 1), (2**40, 2**62)),
        "parameter": PARAMETER + float32(24, 0, (3,), (8,)) + b"\x88" + ORDERED_DICT + b"tR",
    }
    file, whole = read_torch(write(dictionary(views), FLOATS.tobytes())), FLOATS.reshape(4, 6)
    wanted = {
        "whole": whole,
        "part": whole[1:, 1:4:2],
        "columns": FLOATS.reshape(4, 3, 2).T,
        "repeated": np.tile(FLOATS[5:9], (3, 1)),
        "number": FLOATS[23],
        "empty": np.zeros((0, 3), np.float32),
        "one": FLOATS[None, 23:],
        "parameter": FLOATS[::8],
    }
    assert list(file) == list(wanted)
    for name, values in wanted.items():
        assert file[name].shape == np.shape(values)
        np.testing.assert_array_equal(np.asarray(file[name]), values)


def test_slices(write):
    array = read_torch(write(float32(24, 0, (4, 6), (1, 4)), FLOATS.tobytes()))["tensor"]
    values = FLOATS.reshape(6, 4).T
    assert (len(array), array.ndim, array.dtype) == (4, 2, np.float32)
    for rows in (slice(1, 3), slice(None), slice(-2, None), slice(2, 99), slice(3, 1)):
        np.testing.assert_array_equal(array[rows], values[rows])
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(np.asarray(array, np.float64), values.astype(float), strict=True)
    assert np.array(array).flags.writeable
    with pytest.raises(IndexError, match=r"array\[start:stop\], not with a step of 2"):
        array[::2]
    with pytest.raises(ValueError, match="without a copy"):
        np.array(array, np.float64, copy=False)


def test_values_stay_in_the_file(write):
    path = write(ONE, FLOATS.tobytes())
    file, place = read_torch(path), path.read_bytes().index(FLOATS.tobytes())
    with open(path, "r+b") as other:
        other.seek(place + 8)
        other.write(np.float32(77).tobytes())
    np.testing.assert_array_equal(file["tensor"][1:4], [1, 77, 3])
    with pytest.raises(ValueError, match="read-only"):
        file["tensor"][:][0] = 1


def test_bytes_that_are_no_booleans_become_true(write):
    values = read_torch(write(tensor("BoolStorage", "0", 4, 0, (4,), (1,)), bytes([0, 1, 2, 255])))["tensor"]
    np.testing.assert_array_equal(values[:], [False, True, True, True], strict=True)
    assert np.asarray(values).view(np.uint8).max() == 1
    number = read_torch(write(tensor("BoolStorage", "0", 4, 3, (), ()), bytes([0, 1, 2, 255])))["tensor"]
    np.testing.assert_array_equal(number[...], np.array(True), strict=True)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_containers_numbers_and_texts_of_all_protocols(write, protocol):
    value = {"a": {"b": 1, 2: [True, None, (1.5, "ν")]}, "n": (-(2**40), 300, 70_000, ""), "": {}}
    file = read_torch(write(pickle.dumps(value, protocol), whole=True))
    shown = {name: note.partition(" is ")[2].removesuffix(", not a tensor.") for name, note in file.notes.items()}
    assert not file
    assert shown == {
        **{"a/b": "int '1'", "a/2/0": "bool 'True'", "a/2/1": "NoneType 'None'", "a/2/2/0": "float '1.5'", "a/2/2/1": "str 'ν'"},
        **{"n/0": "int '-1099511627776'", "n/1": "int '300'", "n/2": "int '70000'", "n/3": "str ''"},
    }


def test_attributes_of_ordered_dictionaries_are_dropped(write):
    state = ORDERED_DICT + b"(" + text("w") + ONE + b"u" + dictionary({"_metadata": ORDERED_DICT}) + b"b"
    assert list(read_torch(write(state, FLOATS.tobytes()))) == ["w"]


def test_tuples_give_numbers_as_names(write):
    assert list(read_torch(write(ONE + ONE + b"\x86", FLOATS.tobytes()))) == ["0", "1"]


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
    **{f"new {p}": (pickle.dumps(New(), p), r"test_torch_file\.New' at byte") for p in range(2, 6)},
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
