"""Exported operators that were altered, and their digests with them: one line, and nothing on standard error."""

import hashlib
import json
import os

import jax
import jax.export
import jaxtyping
import numpy as np
import pytest
import safetensors.numpy

from neuralop_jax.__main__ import main
from neuralop_jax.errors import CheckpointError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.models import FNO
from neuralop_jax.serving import ModelCard, Predictor, export_operator
from neuralop_jax.serving._artifact import CARD, PROGRAM, WEIGHTS, _digest

FIELDS = (FieldInfo("a"), FieldInfo("b")), (FieldInfo("v"),)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The files of a small operator by name."""
    path = tmp_path_factory.mktemp("exported") / "served"
    card = ModelCard(*FIELDS, Grid((8, 8)), batch_size=2)
    with jax.enable_x64(False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # signatures say int of sizes, which are symbols here
        model = FNO(in_channels=2, out_channels=1, n_modes=(2, 2), width=2, depth=1, key=jax.random.key(0))
        export_operator(path, model, card, resolution="any", platforms=("cpu",))
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def served(exported, tmp_path):
    """A folder of these files, and a function that alters them and the digests as who means to deceive would."""
    path = tmp_path / "served"
    path.mkdir()
    for name, content in exported.items():
        (path / name).write_bytes(content)

    def alter(*, card=None, heading=None, **files):
        names = {"program": PROGRAM, "weights": WEIGHTS}
        for name, content in files.items():
            (path / names[name]).write_bytes(content)
        content = json.loads(exported[CARD])
        content["files"] = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in names.values()}
        content["card"] |= card or {}
        content |= heading or {}
        content["sha256"] = _digest(content)
        (path / CARD).write_text(json.dumps(content))

    with jax.enable_x64(False):
        yield path, alter


def refusal(path, capfd):
    with pytest.raises(CheckpointError) as found:
        Predictor.load(path)(np.ones((2, 2, 8, 8), np.float32))
    assert "\n" not in str(found.value) and str(path) in str(found.value)
    assert capfd.readouterr().err == ""
    return str(found.value)


def test_what_is_not_altered_is_read(served):
    path, alter = served
    predicted = Predictor.load(path)(np.ones((2, 2, 8, 8), np.float32))
    alter(heading={"version": "0.0.1"})
    np.testing.assert_array_equal(Predictor.load(path)(np.ones((2, 2, 8, 8), np.float32)), predicted)


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        ({"dtype": "float16"}, "it reads float32 of shape (batch, 2, n0, n1), the card says 2 channels of float16"),
        ({"dtype": "nonsense"}, "card.json.card.dtype must be one of 'float16', 'float32', 'float64', got the string 'nonsense'"),
        ({"dtype": "complex64"}, "card.json.card.dtype must be one of"),
        ({"batch_size": 0}, "card.json.card.batch_size must be an integer >= 1, got 0"),
        ({"batch_size": -5}, "card.json.card.batch_size must be an integer >= 1, got -5"),
        ({"batch_size": "8"}, "card.json.card.batch_size must be an integer >= 1, got the string '8'"),
        ({"smallest_grid": [4]}, "the card says 2 channels of float32 on a grid of (8, 8) and of (4,) at least"),
        ({"smallest_grid": [4, 0]}, "card.json.card.smallest_grid[1] must be an integer >= 1, got 0"),
        ({"smallest_grid": None}, "the card says 2 channels of float32 on a grid of (8, 8)"),
        ({"grid": Grid((8,)).to_json()}, "the card says 2 channels of float32 on a grid of (8,)"),
        ({"grid": {**Grid((8,)).to_json(), "shape": [0]}}, "Grid.shape must hold 1 to 4 positive sizes"),
        ({"inputs": [{"name": "a"}]}, "the card says 1 channels of float32"),
        ({"inputs": [{"name": "a", "channels": -1}, {"name": "b", "channels": 3}]}, "inputs[0].channels must be an integer >= 1"),
        ({"outputs": [{"name": "v", "channels": 2}]}, "it gives float32 of shape (batch, 1, n0, n1), the card says 2 channels"),
        ({"record": None}, "card.json.card.record must be a table, got null"),
        ({"more": 1}, "card.json.card has an entry 'more'"),
    ],
)
def test_altered_cards(served, capfd, altered, said):
    path, alter = served
    alter(card=altered)
    assert said in refusal(path, capfd)


def test_altered_headings(served, capfd):
    path, alter = served
    for heading, said in (
        ({"format": -1}, "card.json.format must be an integer >= 1, got -1"),
        ({"format": "1"}, "card.json.format must be an integer >= 1, got the string '1'"),
        ({"format": 2}, "has format 2, written by neuralop_jax"),
        ({"files": {}}, "is no exported operator, or damaged"),
        ({"files": None}, "card.json.files must be a table, got null"),
        ({"card": []}, "card.json.card must be a table"),
    ):
        alter(heading=heading)
        assert said in refusal(path, capfd)


def test_altered_programs(served, exported, capfd):
    path, alter = served
    whole = exported[PROGRAM]
    module = jax.export.deserialize(bytearray(whole)).mlir_module_serialized
    at = whole.index(module)
    for program in (
        b"",
        whole[:3],
        whole[:100],
        bytes(len(whole)),
        whole[:at] + b"?" + whole[at + 1 :],
        whole[: at + 9] + bytes(99),
    ):
        alter(program=program)
        assert f"is damaged ({PROGRAM}: " in refusal(path, capfd)


def test_a_program_that_cannot_be_run(served, capfd):
    path, alter = served
    alter(card={"smallest_grid": [1, 1]})
    with pytest.raises(CheckpointError, match="cannot be run"), pytest.warns(UserWarning, match="1 x 1 points"):
        Predictor.load(path)(np.ones((2, 2, 1, 1), np.float32))


def test_altered_weights(served, exported, capfd):
    path, alter = served
    whole = safetensors.numpy.load(exported[WEIGHTS])
    name = min(whole)
    flat = {**whole, name: whole[name].reshape(-1)}
    renamed = {(f"{key}x" if key == name else key): values for key, values in whole.items()}
    for weights, said in (
        (flat, f"for {name!r}, {WEIGHTS} has float32 of shape ({whole[name].size})"),
        (renamed, f"for {name!r}, {WEIGHTS} has nothing"),
        ({**whole, "x": whole[name]}, f"it wants nothing for 'x', {WEIGHTS} has float32"),
        ({**whole, name: whole[name].astype(np.float64)}, f"for {name!r}, {WEIGHTS} has float64"),
    ):
        alter(weights=safetensors.numpy.save(weights))
        assert said in refusal(path, capfd)
    alter(weights=b"")
    assert "is no exported operator, or damaged" in refusal(path, capfd)


@pytest.mark.parametrize("name", [CARD, PROGRAM, WEIGHTS])
def test_a_pipe_does_not_hang(served, capfd, name):
    path, _ = served
    (path / name).unlink()
    os.mkfifo(path / name)
    assert "it is a pipe or a device, wanted an ordinary file" in refusal(path, capfd)


def test_a_record_that_does_not_fit_is_refused_by_predict(served, capfd, monkeypatch):
    path, alter = served
    monkeypatch.chdir(path.parent)
    np.save("u.npy", np.ones((2, 2, 8, 8), np.float32))
    for record in ({}, {"configuration": {}, "info": None}, {"configuration": 1}):
        alter(card={"record": record})
        assert main(["predict", "served", "u.npy", "out.npz"]) == 2
        out, err = capfd.readouterr()
        assert out == "" and err.count("\n") == 1 and "the card of served does not say what it was trained on: record" in err
