"""`uncertainty`: bands of one run and of an ensemble, beside what the definition gives."""

import json

import jax
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.data import HDF5Dataset


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
    # twice the same operator is an ensemble whose mean is that operator
    assert main(["uncertainty", "runs/a", "runs/a", *options]) == 0
    both = json.loads((trained / "bands.json").read_text())
    assert both["errors"].keys() == {"a", "ensemble"}
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
