"""`evaluate --certify` and `--analyze`: what they print and what they keep."""

import json

import numpy as np
import pytest

from neuralop_jax.__main__ import main


def test_certificate_is_kept_and_printed(trained, capsys):
    before = json.loads((trained / "runs/a/results.json").read_text())["splits"]
    assert main(["evaluate", "runs/a", "--certify"]) == 0
    out, kept = capsys.readouterr().out, json.loads((trained / "runs/a/certificate.json").read_text())
    rows = {tuple(row["grid"]): row for row in kept["grids"]}
    assert list(rows) == [(4, 4), (5, 5), (8, 8), (9, 9), (16, 8), (16, 16), (32, 32)]
    assert (kept["split"], kept["training_grid"], kept["count"], kept["waves"]) == ("test_16", [8, 8], 3, [1, 1])
    assert kept["claim"] == "converges" and all(row["verdict"] in ("agrees", "differs") for row in kept["grids"])
    assert rows[16, 16]["error"] == pytest.approx(before["test_16"]["relative_l2"], rel=1e-5)
    assert not rows[16, 8]["interpolated"] and rows[32, 32]["interpolated"] and rows[32, 32]["against"] == [16, 16]
    assert abs(rows[4, 4]["input_tail"]) < 1e-10 and rows[32, 32]["input_tail"] is None  # one wave in the data
    assert rows[4, 4]["output_tail"] > rows[8, 8]["output_tail"] > rows[16, 16]["output_tail"] >= 0
    assert "8 x 8 (training)" in out and f"{rows[9, 9]['difference']:.2g}" in out and rows[9, 9]["verdict"] in out
    assert "claims functions that approach each other on finer grids" in out
    assert f"{rows[9, 9]['error']:.4g}*" in out and out.count("* │") == sum(row["interpolated"] for row in kept["grids"])


def test_analysis_is_kept_and_printed_only_if_asked_for(trained, capsys):
    assert main(["evaluate", "runs/a", "--split", "test_16"]) == 0
    assert "analysis" not in json.loads((trained / "runs/a/results.json").read_text())["splits"]["test_16"]
    capsys.readouterr()
    assert main(["evaluate", "runs/a", "--split", "test_16", "--analyze"]) == 0
    split = json.loads((trained / "runs/a/results.json").read_text())["splits"]["test_16"]
    bands = split["analysis"]["bands"]["relative_l2"]
    np.testing.assert_allclose(np.hypot(*bands[:2]), split["relative_l2"], rtol=0.02)  # of a mean of samples that are alike
    assert f"test_16: relative L2 error by waves per longest side: {bands[0]:.3g} (below 5)" in capsys.readouterr().out
    assert "rollout" not in split["analysis"]


def test_a_damaged_certificate_is_one_line(trained, capsys):
    (trained / "runs/a/certificate.json").write_text("[")
    assert main(["report", "runs/a"]) == 2
    err = capsys.readouterr().err
    assert "runs/a/certificate.json cannot be read" in err and err.count("\n") == 1
