"""F22: files whose payload writes a marker when it is run are refused by every reader, and the marker is never there."""

import contextlib
import io
import json
import pickle
import struct
import zipfile

import jax
import numpy as np
import pytest
import safetensors.numpy
import scipy.io

from neuralop_jax import FNO
from neuralop_jax.__main__ import main
from neuralop_jax.checkpoint import load, save_model
from neuralop_jax.data import HDF5Dataset, describe, open_source, read_info, read_mat, read_torch, verify
from neuralop_jax.errors import CheckpointError, ConfigError, DataError, NeuralOpError
from neuralop_jax.interop import read_architecture, read_weights

LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


class Payload:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


def torch_zip(marker):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"a": Payload(marker)}, 2))
        archive.writestr("x/byteorder", "little")
    return content.getvalue()


def object_npy(marker):
    content = io.BytesIO()
    np.save(content, np.array([Payload(marker)], object), allow_pickle=True)
    return content.getvalue()


def object_npz(marker):
    content = io.BytesIO()
    np.savez(content, a=np.array([Payload(marker)], object))
    return content.getvalue()


def matlab(marker, kind):
    """A structure whose class is changed to that of function handles (16), opaque objects (17) or old objects (3)."""
    content = io.BytesIO()
    scipy.io.savemat(content, {"a": {"f": f"system('touch {marker}')"}, "u": np.ones((3, 4))})
    whole = bytearray(content.getvalue())
    whole[whole.index(struct.pack("<IIII", 6, 8, 2, 0)) + 8] = kind
    return bytes(whole)


PICKLES = {
    "x.pt": torch_zip,
    "old.pt": lambda marker: LEGACY + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + pickle.dumps(Payload(marker), 2),
    "x.pkl": lambda marker: pickle.dumps(Payload(marker)),
    "text.pkl": lambda marker: pickle.dumps(Payload(marker), 0),
    "x.npy": object_npy,
    "x.npz": object_npz,
}
OTHERS = {f"{kind}.mat": lambda marker, kind=kind: matlab(marker, kind) for kind in (3, 16, 17)}
READERS = (
    lambda path: HDF5Dataset(path, "train", "a", "a"),
    describe,
    read_info,
    verify,
    lambda path: [field.read(0, 1) for field in open_source(path, layout="samples x").fields.values()],
    lambda path: [np.asarray(array) for array in read_torch(path).values()],
    lambda path: [read_mat(path)[name][:] for name in ("a",)],
    read_weights,
    load,
)


@pytest.mark.parametrize("name", [*PICKLES, *OTHERS])
def test_f22_payloads_are_refused_and_never_run(tmp_path, name):
    marker, path = tmp_path / "marker", tmp_path / name
    path.write_bytes((PICKLES | OTHERS)[name](marker))
    refusals = 0
    for read in READERS:
        try:
            read(path)
        except NeuralOpError as error:
            assert "\n" not in str(error)
            refusals += 1
    assert refusals == len(READERS) or (name in OTHERS and refusals >= 6)  # beside the payload are numbers
    for renamed in ("x.h5", "x.mat", "x.npz", "x.pt", "x.safetensors") if name in PICKLES else ():
        path = path.rename(tmp_path / renamed)
        for read in READERS:
            with contextlib.suppress(NeuralOpError):
                read(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", PICKLES)
def test_f22_the_payloads_are_live(tmp_path, name):
    marker = tmp_path / "marker"
    content = PICKLES[name](marker)
    if name == "x.pt":
        content = zipfile.ZipFile(io.BytesIO(content)).read("x/data.pkl")
    if name.startswith("x.np"):
        loaded = np.load(io.BytesIO(content), allow_pickle=True)
        loaded if name == "x.npy" else loaded["a"]
    else:
        file = io.BytesIO(content)
        while file.tell() < len(content):
            pickle.load(file)
    assert marker.exists()


@pytest.fixture
def saved(tmp_path):
    save_model(tmp_path / "model", FNO(in_channels=1, out_channels=1, n_modes=(2,), width=2, depth=1, key=jax.random.key(0)))
    return tmp_path / "model"


def test_f22_pickles_in_a_checkpoint_are_never_run(saved, tmp_path):
    marker = tmp_path / "marker"
    payload = pickle.dumps(Payload(marker))
    files = [path for path in saved.rglob("*") if path.is_file()]
    for path in files:
        before = path.read_bytes()
        path.write_bytes(payload)
        with contextlib.suppress(CheckpointError):
            load(saved)
        path.write_bytes(before)
        for name in ("payload.pkl", "__init__.py"):
            (path.parent / name).write_bytes(payload)
    with pytest.raises(CheckpointError, match="does not belong to it"):
        load(saved)
    assert len(files) > 3 and not marker.exists()


TARGET = {"_target_": "builtins.open", "_args_": ["marker", "w"], "kind": "os.system", "command": "touch marker"}


def test_f22_configurations_cannot_import(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    weights = {"fc.weight": np.ones((2, 3), np.float32)}
    safetensors.numpy.save_file(weights, "a.safetensors", {"config": json.dumps(TARGET), "family": "os.system"})
    safetensors.numpy.save_file(weights, "b.safetensors")
    (tmp_path / "b.json").write_text(json.dumps({"family": "builtins.open", "config": TARGET}))
    (tmp_path / "run.toml").write_text(
        '[data]\npath = "x.h5"\ninput = "a"\ntarget = "a"\n[model]\nkind = "os.system"\n_target_ = "builtins.open"\n'
    )
    assert read_architecture("a.safetensors")["config"] == read_architecture("b.safetensors")["config"] == TARGET
    for words in (
        ["train", "run.toml"],
        ["train", "run.toml", "--model.kind", "fno", "--model._target_", "os.system"],
        ["convert", "a.safetensors", "--out", "c"],
        ["convert", "b.safetensors", "--out", "c"],
    ):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "marker").exists() and not (tmp_path / "c").exists()


def test_f22_classes_of_the_refusals(tmp_path):
    for name, error in (("x.pt", DataError), ("x.pkl", DataError)):
        (tmp_path / name).write_bytes(PICKLES[name](tmp_path / "marker"))
        with pytest.raises(error):
            read_torch(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot import Python objects"):
        from neuralop_jax import build

        build({"kind": "os.system"}, key=jax.random.key(0))
