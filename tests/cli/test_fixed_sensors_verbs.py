"""The verbs with an operator that reads one grid: other splits are left out in one line, and refused when asked for by name."""

import json

from neuralop_jax.__main__ import main


def test_train_and_evaluate_leave_out_what_cannot_be_read(place, capsys):
    text = (
        (place / "run.toml")
        .read_text()
        .replace('kind = "fno"\nn_modes = [4, 4]\nwidth = 4\ndepth = 1', 'kind = "deeponet"\nwidth = 4')
    )
    (place / "run.toml").write_text(text)
    line = "test_16 is left out: DeepONet reads its input at 8 x 8 fixed sensors, not on 16 x 16 points."
    for words in (["train", "run.toml", "--out", "runs/a"], ["evaluate", "runs/a"]):
        assert main(words) == 0
        assert capsys.readouterr().out.count(line) == 1
        assert set(json.loads((place / "runs/a/results.json").read_text())["splits"]) == {"test_8"}
    assert line in (place / "runs/a/report.html").read_text()
    assert main(["evaluate", "runs/a", "--split", "test_16"]) == 2
    err = capsys.readouterr().err
    assert "DeepONet reads its input at the 8 x 8 sensors it was built for, got 16 x 16 points" in err and err.count("\n") == 1
