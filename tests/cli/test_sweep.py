"""`sweep`: what is trained, kept, refused and compared."""

import json
import statistics

import pytest

from neuralop_jax.cli import main, sweep
from neuralop_jax.config import load_config, to_json
from neuralop_jax.evaluation import record, student_interval

COMMAND = ["sweep", "run.toml", "--out", "s", "--over", "model.n_modes=[4,4],[40,40]", "--seeds", "0,1"]
COMMAND += ["--over", "optimizer.learning_rate=1e-3,4e-3", "--training.steps", "4"]


def results(run):
    return json.loads((run / "results.json").read_text())


@pytest.fixture
def no_pages(monkeypatch):
    """The runs whose pages would be written."""
    pages = []
    monkeypatch.setattr(sweep, "write_page", pages.append)
    return pages


def test_runs_are_compared_and_finished_ones_are_kept(place, capsys, no_pages):
    assert main(COMMAND) == 1
    printed = capsys.readouterr().out
    failed = [line for line in printed.splitlines() if "failed:" in line]
    assert len(failed) == 4 and all("model.n_modes=_40,40_" in line and "needs a training grid" in line for line in failed)
    table = json.loads((place / "s/sweep.json").read_text())
    good = table["settings"][:2]
    assert [row["setting"] for row in good] == [f"model.n_modes=[4,4],optimizer.learning_rate={r}" for r in (0.001, 0.004)]
    for row in good:
        errors = [results(place / "s" / run["run"])["splits"]["test_8"]["relative_l2"] for run in row["runs"]]
        assert [run["error"] for run in row["runs"]] == errors and row["mean"] == statistics.fmean(errors)
        assert row["deviation"] == statistics.stdev(errors) and row["interval"] == list(student_interval(errors))
    assert [row["best"] for row in table["settings"]] == [row["mean"] == min(r["mean"] for r in good) for row in good] + [
        False
    ] * 2
    assert f"{good[0]['mean']:.4g} ± {good[0]['deviation']:.2g}" in printed and "2 of 2" in printed and "0 of 2" in printed
    runs = [place / "s" / run["run"] for row in good for run in row["runs"]]
    assert set(no_pages) == {run.relative_to(place) for run in runs}
    assert record(runs[0])["options"] == "--training.steps 4 --model.n_modes '[4,4]' --optimizer.learning_rate 1e-3"

    before = [(run / "results.json").stat().st_mtime_ns for run in runs]
    (runs[0] / "DONE").unlink()  # as if killed just before the end
    assert main(COMMAND + ["--split", "test_16", "--metric", "relative_h1"]) == 1
    assert "3 of 8 runs are finished." in capsys.readouterr().out
    after = [(run / "results.json").stat().st_mtime_ns for run in runs]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True, True, True]
    again = json.loads((place / "s/sweep.json").read_text())
    assert (again["split"], again["metric"]) == ("test_16", "relative_h1")
    assert again["settings"][0]["runs"][0]["error"] == results(runs[0])["splits"]["test_16"]["relative_h1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "results.json is missing or has no 'splits'"),
        ("{}", "results.json is missing or has no 'splits'"),
        ('{"splits": {}}', "results.json is missing or has no 'train_seconds'"),
        ("garbage", "results.json cannot be read"),
        ('{"splits": []}', "results.json is damaged"),
    ],
)
def test_a_finished_run_without_figures_is_one_that_failed(place, capsys, no_pages, content, said):
    """The others are compared; the first of two runs is the one that is hurt."""
    for seed in (0, 1):
        run = place / "s" / f"seed={seed}"
        run.mkdir(parents=True)
        config = load_config("run.toml", ["--seed", str(seed)])
        (run / "config.json").write_text(json.dumps(to_json(config)))
        (run / "DONE").touch()
        errors = {"relative_l2": 0.5, "relative_h1": 1.0, "max_error": 2.0, "grid": [8, 8], "count": 5}
        (run / "results.json").write_text(json.dumps({"splits": {"test_8": errors}, "train_seconds": 1.0}))
    hurt = place / "s/seed=0/results.json"
    hurt.unlink() if content is None else hurt.write_text(content)
    assert main(["sweep", "run.toml", "--out", "s", "--seeds", "0,1"]) == 1
    printed = capsys.readouterr().out
    assert "2 of 2 runs are finished." in printed and "1 of 2" in printed and " 0.5 " in printed
    (line,) = [line for line in printed.splitlines() if "failed:" in line]
    assert line.startswith("seed=0 failed: s/seed=0/") and said in line
    ((first, second),) = [row["runs"] for row in json.loads((place / "s/sweep.json").read_text())["settings"]]
    assert said in first["failed"] and second["error"] == 0.5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--over", "optimizer.lr=1"], "Did you mean 'optimizer.learning_rate'"),
        (["--over", "width"], "--over must be OPTION=VALUE,VALUE such as optimizer.learning_rate=1e-3,3e-4, got 'width'."),
        (["--over", "model.width=4,"], "--over must be OPTION=VALUE,VALUE"),
        (["--over", "model.width=4,4"], "two runs would be the same: model.width=4,seed=0."),
        (["--over", "model.width=4", "--over", "model.width=8"], "--over names an option twice"),
        (["--seeds", "0,x"], "seed"),
        (["--seed", "1"], "sweep takes the seeds of its runs from --seeds 0,1,2."),
        (["--at-once", "0"], "--at-once must be at least 1, got 0."),
        (["--metric", "relativ_l2"], "Did you mean 'relative_l2'?"),
        (["--split", "test"], "--split 'test' is no held-out split of smooth.h5, which has test_8, test_16."),
        (["--data.path", "none.h5"], "none.h5"),
        (["--over", "model.depth=x"], "depth"),
        (["--ovr", "model.width=4"], "Did you mean '--over'?"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_trained(place, capsys, words, said):
    assert main(["sweep", "run.toml", "--out", "s", *words]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1 and not (place / "s").exists()


def test_a_run_is_no_place_for_a_sweep(trained, capsys):
    assert main(["sweep", "run.toml", "--out", "runs/a"]) == 2
    assert "runs/a is a run of train" in capsys.readouterr().err
