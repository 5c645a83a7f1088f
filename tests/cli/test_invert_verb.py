"""`invert`: its folder, through the solver and through an operator of a run, and its refusals in one line."""

import json

import jax
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.cli import _inversion
from neuralop_jax.config import DataConfig, ExperimentConfig, ModelConfig, to_json
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.models import FNO

SMALL = ("--resolution", "9", "--sensors", "20", "--steps", "4")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *words):
    assert main(["invert", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("\n") and err.count("\n") == 1
    return err.strip()


def test_folder_through_the_solver(files_of_at_most, tmp_path, capsys, monkeypatch):
    written, write = [], _inversion.write_inversion
    monkeypatch.setattr(_inversion, "write_inversion", lambda *what: written.append(what) or write(*what))
    assert main(["invert", "out", *SMALL, "--prior", "h1"]) == 0
    printed = capsys.readouterr().out
    result, arrays = json.loads((tmp_path / "out/result.json").read_text()), np.load(tmp_path / "out/arrays.npz")
    assert result["ended"] == "max_steps" and "after the 4 iterations of --steps" in printed
    assert (result["forward"], result["resolution"], result["iterations"]) == ("solver", [9, 9], 4)
    truth, found = arrays["truth"], arrays["reconstruction"]
    assert truth.shape == found.shape == (1, 9, 9) and truth.dtype == np.float64 and arrays["sensors"].shape == (20, 2)
    ratio = lambda a, b: np.linalg.norm(a) / np.linalg.norm(b)
    assert result["relative_error"] == pytest.approx(ratio(found - truth, truth), rel=1e-9)
    assert result["relative_error_of_the_mean"] == pytest.approx(ratio(1 - truth, truth), rel=1e-9)
    residual = arrays["predicted"] - arrays["observed"]
    assert result["relative_residual"] == pytest.approx(ratio(residual, arrays["observed"]), rel=1e-9)
    assert result["discrepancy"] == pytest.approx(np.sqrt(np.mean((residual / arrays["noise"]) ** 2)), rel=1e-9)
    assert result["relative_error"] < result["relative_error_of_the_mean"] and len(arrays["relative_error"]) == 5
    assert (np.diff(arrays["objective"]) <= 0).all() and f"{result['relative_error']:.4g}" in printed
    page = (tmp_path / "out/report.html").read_text()
    assert result["command"] and "20 sensors, 5 % noise, through the solver" in page and page.count("<img") == 1
    assert (tmp_path / "out/inversion.png").read_bytes().startswith(b"\x89PNG")
    ((_, twin, found, _),) = written
    monkeypatch.setattr(_inversion.Twin, "draw", lambda *options: twin)
    monkeypatch.setattr(_inversion.Twin, "solve", lambda *options: found)
    with files_of_at_most(30_000):  # a disk that has room for the arrays and figures, not for the page
        assert main(["invert", "new/out", *SMALL]) == 2
    out, err = capsys.readouterr()
    assert f"{result['relative_error']:.4g}" in out  # which took hours to compute, perhaps
    assert err == "new/out cannot be written: File too large. Check space and rights.\n" and not list(
        (tmp_path / "new").iterdir()
    )


def write_run(directory, boundary):
    """What a training run leaves of an operator from permeability to pressure that was not trained at all."""
    data = DataConfig(path="smooth.h5", input=("permeability",), target=("pressure",))
    config = ExperimentConfig(data=data, model=ModelConfig(kind="fno"))
    splits = {"train": SplitInfo(4, Grid((9, 9), boundary=(boundary, boundary)))}
    info = DatasetInfo("smooth", "Darcy", (FieldInfo("permeability"), FieldInfo("pressure")), splits)
    model = FNO(in_channels=1, out_channels=1, n_modes=(2, 2), width=2, depth=1, key=jax.random.key(0))
    checkpoint.save_model(directory, model, info)
    (directory / "config.json").write_text(json.dumps(to_json(config)))


def test_through_the_operator_of_a_run(tmp_path, capsys):
    write_run(tmp_path / "run", "dirichlet")
    assert main(["invert", "out", "--checkpoint", "run", "--sensors", "9", "--steps", "2", "--prior", "tv"]) == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["forward"], result["resolution"]) == ("run", [9, 9])
    assert result["discrepancy_of_the_truth"] > 1.5  # of an operator that was not trained
    assert "through the operator of run" in (tmp_path / "out/report.html").read_text()
    capsys.readouterr()
    write_run(tmp_path / "other", "periodic")
    assert "found one from permeability to pressure on ('periodic', 'periodic')" in refused(capsys, "o", "--checkpoint", "other")


def test_options_are_refused(capsys):
    for option, value, said in (
        ("sensors", "0", "must be >= 1, got 0."),
        ("sensors", "1000000000000000", "must be at most the 64 x 64 points of the grid, got 1000000000000000."),
        ("noise", "0", "must be finite and >= 1e-06 and < 100, got 0.0."),
        ("deviation", "1e-300", "must be finite and >= 0.001 and < 10, got 1e-300."),
        ("tau", "nan", "must be finite and >= 0.01 and < 1000, got nan."),
        ("gamma", "1", "must be finite and > 1 and < 10, got 1.0."),
        ("gamma", "500", "must be finite and > 1 and < 10, got 500.0."),
        ("resolution", "3", "must be >= 5 and < 4097, got 3."),
        ("resolution", "1000000000", "must be >= 5 and < 4097, got 1000000000."),
        ("weight", "inf", "must be finite and >= 1e-15 and < 1e+15, got inf."),
        ("weight", "nan", "must be finite and >= 1e-15 and < 1e+15, got nan."),
        ("discrepancy", "-1", "must be finite and >= 0.001 and < 1e+06, got -1.0."),
        ("steps", "1000000000000", "must be >= 1 and < 1e+06, got 1000000000000."),
        ("seed", "-1", "must be >= 0 and < 4e+09, got -1."),
        ("seed", "1180591620717411303424", "must be >= 0 and < 4e+09, got 1180591620717411303424."),
    ):
        assert refused(capsys, "out", f"--{option}", value) == f"--{option} {said}"
    assert "--prior" in refused(capsys, "out", "--prior", "tikhonov")
    assert "no such run directory: nowhere" in refused(capsys, "out", "--checkpoint", "nowhere")


def test_a_medium_beyond_the_solver_is_one_line(capsys):
    assert main(["invert", "out", *SMALL, "--gamma", "9.9", "--tau", "0.01", "--deviation", "9.9"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Lower --deviation or --gamma, or raise --weight." in err


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_computed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_inversion.Twin, "draw", None)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    for out in ("file", "link", "empty", "."):
        assert refused(capsys, out) == f"{out} exists and is not overwritten. Choose another name."
    assert refused(capsys, "file/out") == "file/out cannot be written: Not a directory. Check the path, space and rights."
    assert "cannot be written: File name too long." in refused(capsys, "x" * 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link"]
