"""`data info` and `data convert` on the files of others."""

import json

import h5py
import numpy as np
import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.data import HDF5Dataset, describe, open_source, read_info
from neuralop_jax.info import DatasetInfo

X = np.random.default_rng(0).normal(size=(20, 6, 7)) > 0
Y = np.random.default_rng(1).normal(size=(20, 6, 7))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("darcy.npz", x=X, y=Y)
    np.savez("fine.npz", x=np.ones((3, 11, 13), bool), y=np.ones((3, 11, 13)))
    with h5py.File("1D_Burgers_Sols_Nu0.1.hdf5", "w") as file:
        file["tensor"] = np.random.default_rng(2).normal(size=(20, 6, 16)).astype(np.float32)
        file["x-coordinate"] = ((np.arange(16) + 0.5) / 16).astype(np.float32)
        file["t-coordinate"] = (np.arange(7) / 4).astype(np.float32)
        file.attrs["Nu"] = 0.1
    return tmp_path


@pytest.fixture
def said(capsys):
    def run(*words):
        assert main(["data", *words]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


@pytest.fixture
def refused(capsys):
    def run(*words):
        assert main(["data", *words]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err.strip()

    return run


def test_info_of_pdebench(place, said):
    out = said("info", "1D_Burgers_Sols_Nu0.1.hdf5")
    for part in (
        "PDEBench, tensor",
        "samples time x = (20, 6, 16)",
        "20 x 6 x 16",
        "parameters: Nu = 0.1",
        "periodic",
        "centers",
        "times: 6 frames from 0 to 1.25",
        "7 entries for 6 frames; the last was left out",
        "neuralop-jax data convert 1D_Burgers_Sols_Nu0.1.hdf5 OUT.h5",
    ):
        assert part in out


def test_info_of_numpy(place, said, refused):
    out = said("info", "darcy.npz")
    for part in (
        "NumPy archive, variables as in the neuraloperator Darcy files",
        "nodes without the end",
        "20 x 6 x 7",
        "float64",
    ):
        assert part in out
    np.save("u.npy", Y)
    assert "nothing says what their axes are" in refused("info", "u.npy")
    assert "20 x 6 x 7" in said("info", "u.npy", "--layout", "samples x y")


def test_describe_is_json(place):
    found = describe("darcy.npz")
    assert DatasetInfo.from_json(json.loads(json.dumps(found))["info"]) == open_source("darcy.npz").info()
    assert found["fields"][0] == {"name": "x", "shape": [20, 6, 7], "dtype": "bool", "stored": "samples x y = (20, 6, 7)"}
    assert [item["name"] for item in found["objects"]] == ["x", "y"]


def test_convert_without_a_split(place, said):
    out = said("convert", "darcy.npz", "darcy.h5")
    assert "No --split was given: all 20 samples are the split train." in out
    assert "Note: the file states no grid: dirichlet" in out
    whole = HDF5Dataset("darcy.h5", "train", "x", "y").read_all()
    np.testing.assert_array_equal(whole.inputs["u"][:, 0], X)
    np.testing.assert_array_equal(whole.target[:, 0], Y.astype(np.float32))
    assert "the checksums of all 2 arrays agree" in said("info", "darcy.h5")


def test_convert_with_everything(place, said):
    words = "--split train=0:16 --split test=-4: --split fine=fine.npz@1:3".split()
    words += "--field permeability=x --field pressure=y --stride 2 3 --dtype float32 --name darcy --license MIT".split()
    words += "--boundary open --extent 0 2 0 3".split()
    out = said("convert", "darcy.npz", "darcy.h5", *words)
    assert "No --split" not in out
    info = read_info("darcy.h5")
    assert {name: (split.num_samples, split.grid.shape) for name, split in info.splits.items()} == {
        "train": (16, (3, 3)),
        "test": (4, (3, 3)),
        "fine": (2, (6, 5)),
    }
    assert (info.name, info.license) == ("darcy", "MIT")
    assert info.splits["train"].grid.coordinates()[1].tolist() == [0.0, 1.5, 3.0]
    np.testing.assert_array_equal(
        HDF5Dataset("darcy.h5", "test", "permeability", "pressure").read_all().target[:, 0], Y[16:, ::2, ::3].astype(np.float32)
    )


def test_convert_trajectories(place, said):
    words = "--split test=0:10% --split train=10%: --field past=tensor@0:2 --field next=tensor@2:3".split()
    said("convert", "1D_Burgers_Sols_Nu0.1.hdf5", "burgers.h5", *words)
    with h5py.File("1D_Burgers_Sols_Nu0.1.hdf5") as file:
        tensor = file["tensor"][:]
    for split, rows in (("test", slice(0, 2)), ("train", slice(2, 20))):
        whole = HDF5Dataset("burgers.h5", split, "past", "next").read_all()
        np.testing.assert_array_equal(whole.inputs["u"], tensor[rows, :2])
        np.testing.assert_array_equal(whole.target, tensor[rows, 2:3])


def test_parts_of_a_split_are_joined(place, said):
    said("convert", "darcy.npz", "darcy.h5", "--split", "train=0:3", "--split", "train=10:12", "--split", "test=5:6")
    target = HDF5Dataset("darcy.h5", "train", "x", "y").read_all().target[:, 0]
    np.testing.assert_array_equal(target, Y[[0, 1, 2, 10, 11]].astype(np.float32))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.npz", "out.h5"], "no such file: none.npz"),
        (["darcy.npz", "fine.npz"], "fine.npz exists"),
        (["darcy.npz", "out.h5", "--split", "train"], "--split 'train' is no NAME=RANGE"),
        (["darcy.npz", "out.h5", "--split", "train=0:21"], "the range 0:21 of samples of darcy.npz does not fit: there are 20"),
        (["darcy.npz", "out.h5", "--split", "a=0:9", "--split", "b=8:20"], "share the samples 8:9 of darcy.npz"),
        (["darcy.npz", "out.h5", "--split", "test=none.npz"], "no such file: none.npz"),
        (
            ["darcy.npz", "out.h5", "--split", "a=nan:"],
            "--split 'a=nan:': 'nan:' is neither a range, such as 0:1000 or 10%:, nor",
        ),
        (["darcy.npz", "out.h5", "--split", "a=:1e9"], "':1e9' is neither a range"),
        (["darcy.npz", "out.h5", "--split", "a=fine.npz@1:x"], "'fine.npz@1:x' is neither a range"),
        (["darcy.npz", "out.h5", "--field", "z"], "no field 'z'. Found: x (20, 6, 7) bool"),
        (["darcy.npz", "out.h5", "--extent", "1"], "--extent has 1 numbers"),
        (["darcy.npz", "out.h5", "--layout", "samples x"], "names 2 axes"),
        (["darcy.npz", "out.h5", "--dtype", "float16"], "invalid choice"),
        (["darcy.npz", "out.h5", "--time", "0:3"], "no field of darcy.npz varies in time"),
    ],
)
def test_wrong_input(place, refused, words, message):
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert message in refused("convert", *words)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_other_files_are_named(place, refused):
    with open("page.npz", "w") as file:
        file.write("<!DOCTYPE html><title>Sign in</title>")
    assert "web page" in refused("info", "page.npz")
    with open("model.pt", "wb") as file:
        file.write(b"\x80\x02.")
    assert "pickle" in refused("convert", "model.pt", "out.h5")


def test_info_says_how_a_plain_file_is_read(place, said):
    with h5py.File("mine.h5", "w") as file:
        file["a"] = file["u"] = np.ones((5, 2, 33))
    out = " ".join(said("info", "mine.h5").split())
    assert "Read together, by their shapes: a (samples, x, y), u (samples, x, y)." in out
    assert "data.num_dims = 2 reads any choice of them so; data.num_dims = 1 reads x as channels." in out
    with h5py.File("mine.h5", "a") as file:
        file["mean"] = np.ones((5, 33))
    out = " ".join(said("info", "mine.h5").split())
    assert "a (samples, 2 channels, x), mean (samples, x), u (samples, 2 channels, x)." in out
    assert "data.num_dims = 1 reads any choice of them so. " in out
