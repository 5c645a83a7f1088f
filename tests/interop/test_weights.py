import json
import pathlib
import shutil

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.errors import CheckpointError, ConfigError, DataError
from neuralop_jax.interop import read_architecture, read_weights

from .golden_cases import FOLDER, golden


@pytest.fixture
def case(tmp_path):
    """A golden case as its `.npz` and `.json` in a directory of its own."""
    name = "padded"
    for suffix in (".npz", ".json"):
        shutil.copy(FOLDER / "classic_fno" / (name + suffix), tmp_path / ("case" + suffix))
    return golden(f"classic_fno/{name}", double=False), tmp_path


def run(capsys, *words):
    code = main(["convert", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out + err


def written(case, place, kind):
    """The weights of the case in another kind of file, and the option that says which names are theirs."""
    if kind == "npz":
        return place / "case.npz", ["--prefix", "param:"]
    path = place / "weights.safetensors"
    metadata = {"config": json.dumps(case.config), "family": "classic_fno"}
    safetensors.numpy.save_file({f"module.{name}": np.ascontiguousarray(v) for name, v in case.state.items()}, path, metadata)
    return path, ["--prefix", "module."]


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_a_converted_file_is_the_operator_of_the_original(case, kind, capsys):
    case, place = case
    file, prefix = written(case, place, kind)
    family = ["--family", "classic_fno"] if kind == "npz" else []
    code, said = run(capsys, file, place / "out", *family, *prefix)
    assert code == 0 and "parameters" in said
    operator = checkpoint.load(place / "out")
    outputs = jax.vmap(operator)(np.moveaxis(case.x, -1, 1))
    np.testing.assert_allclose(np.moveaxis(outputs, 1, -1), case.y, rtol=1e-4, atol=1e-4 * np.abs(case.y).max())
    code, said = run(capsys, file, place / "out", *family, *prefix)
    assert code == 2 and "is not overwritten" in said


def test_types_of_safetensors(tmp_path):
    arrays = {
        "bf16": np.asarray([1.5, -2], ml_dtypes.bfloat16),
        "complex": np.asarray([1 + 2j], np.complex64),
        "count": np.asarray(7),
        "half": np.asarray([[0.5]], np.float16),
    }
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    for name, array in read_weights(tmp_path / "w.safetensors").items():
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name])


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\xff" * 64)
    np.savez(tmp_path / "objects.npz", a=np.asarray([{}], object))
    np.savez(tmp_path / "whole.npz", a=np.ones(3))
    (tmp_path / "x.bin").write_bytes(b"")
    for name, error, words in (
        ("bad.safetensors", DataError, "no safetensors file, or damaged"),
        ("objects.npz", DataError, "holds Python objects"),
        ("x.bin", DataError, "is none of .safetensors, .npz"),
        ("none.pt", DataError, "is not a file"),
    ):
        with pytest.raises(error, match=words):
            read_weights(tmp_path / name)
    with pytest.raises(CheckpointError, match="no name that begins with 'module.'; the first is 'a'"):
        read_weights(tmp_path / "whole.npz", prefix="module.")


def test_what_says_nothing_of_the_architecture_is_refused(case, capsys):
    _, place = case
    config = json.loads((place / "case.json").read_text())["config"]
    (place / "bare.json").write_text(json.dumps(config))
    assert read_architecture(place / "case.npz") == {"config": config}
    assert read_architecture("other.npz", place / "bare.json") == {"config": config}
    pathlib.Path(place / "list.json").write_text("[1]")
    for path, given, words in (
        (place / "x.npz", None, "arguments of the constructor are not known"),
        (place / "x.npz", place / "list.json", "holds a list, wanted a JSON table"),
        (place / "x.npz", place / "case.npz", "cannot be read|is not JSON"),
        (place / "x.npz", place / "none.json", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_architecture(path, given)
    code, said = run(capsys, place / "none.pt", place / "out", "--family", "neuraloperator_fno")
    assert code == 2 and f"no such file: {place / 'none.pt'}" in said and "--config" not in said
    code, said = run(capsys, place / "case.npz", place / "out", "--prefix", "param:")
    assert code == 2 and "Say it with --family: neuraloperator_fno, classic_fno" in said and said.count("\n") == 1
    code, said = run(capsys, place / "case.npz", place / "out", "--family", "classic_fno")
    assert code == 2 and "missing" in said and not (place / "out").exists()
