"""`uncertainty`: bands of one run and of an ensemble, beside what the definition gives."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.cli.uncertainty import _labels
from neuralop_jax.data import HDF5Dataset


def copy(place, name, changes):
    """The run runs/a under another name, with other options in its configuration."""
    shutil.copytree(place / "runs/a", place / name)
    config = json.loads((place / name / "config.json").read_text())
    for option, value in changes.items():
        *section, last = option.split(".")
        (config[section[0]] if section else config)[last] = value
    (place / name / "config.json").write_text(json.dumps(config))


def test_bands_are_those_of_the_definition(trained, capsys):
    """Of 5 samples 3 calibrate: for a chance of 0.3 the largest of their largest errors is the half width."""
    options = ["--split", "test_8", "--alpha", "0.3", "--json", "bands.json"]
    assert main(["uncertainty", "runs/a", *options]) == 0
    out, single = capsys.readouterr().out, json.loads((trained / "bands.json").read_text())
    samples = HDF5Dataset(trained / "smooth.h5", "test_8", "a", "v").read_all()
    operator = checkpoint.load(trained / "runs/a")
    error = np.abs(np.asarray(jax.jit(jax.vmap(operator))(samples.inputs["u"])) - samples.target)
    radius, found = error[::2].max(), single["coverage"]
    np.testing.assert_allclose(found["width"], [2 * radius], rtol=1e-5)
    assert found["functions"] == [np.mean(error[1::2].max(axis=(1, 2, 3)) <= radius)]
    assert (found["calibration"], found["count"]) == (3, 2) and f"{2 * radius:.3g}"[:4] in out and "0.7 wanted" in out
    # the same weights under another seed make an ensemble whose mean is that operator
    copy(trained, "other/a", {"seed": 1})
    assert main(["uncertainty", "runs/a", "other/a", *options]) == 0
    both = json.loads((trained / "bands.json").read_text())
    assert both["errors"].keys() == {"runs/a", "other/a", "ensemble"}
    assert both["errors"]["other/a"] == both["errors"]["runs/a"] == single["errors"]["a"]
    np.testing.assert_allclose(both["errors"]["ensemble"]["relative_l2"], single["errors"]["a"]["relative_l2"], rtol=1e-5)
    np.testing.assert_allclose(both["coverage"]["width"], found["width"], rtol=1e-5)


@pytest.mark.parametrize(
    "words, found",
    [
        ([], "needs at least one run directory"),
        (["runs/a", "--scaled"], "several runs, got 1"),
        (["runs/a", "--split", "train"], "are test_8, test_16. Name one of them"),
        (["runs/a", "--split", "test_61"], "test_16"),
        (["runs/a", "--alpha", "0.01"], "3 calibration samples are too few for bands with alpha=0.01, which take at least 99"),
    ],
)
def test_what_cannot_be_measured_is_one_line(trained, capsys, words, found):
    assert main(["uncertainty", *words]) == 2
    error = capsys.readouterr().err
    assert found in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "changes, found",
    [
        ({"seed": 1, "data.train_split": "test_8"}, 'data.train_split "train" -> "test_8"'),
        ({"seed": 1, "training.steps": 7}, "b differs from runs/a in more than the seed: training.steps 6 -> 7."),
        ({}, "b has the seed 0 of runs/a: one network twice"),
    ],
)
def test_members_differ_in_the_seed_alone(trained, capsys, changes, found):
    copy(trained, "b", changes)
    assert main(["uncertainty", "runs/a", "b", "--split", "test_8"]) == 2
    error = capsys.readouterr().err
    assert found in error and error.count("\n") == 1
    assert main(["uncertainty", "runs/a", "./runs/../runs/a"]) == 2
    assert "one network twice" in capsys.readouterr().err


def test_no_two_rows_have_one_label(monkeypatch, tmp_path):
    (tmp_path / "fno").mkdir()
    monkeypatch.chdir(tmp_path / "fno")
    for runs, labels in (
        (["runs/a", "runs/b"], ["a", "b"]),
        (["runs/a", "other/a", "b"], ["runs/a", "other/a", "b"]),
        (["ensemble", "x/ensemble"], ["./ensemble", "x/ensemble"]),
        (["."], ["fno"]),
        ([".", "fno"], ["./.", "./fno"]),
    ):
        assert _labels([Path(run) for run in runs]) == labels
