import json
import os

import pytest

from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.errors import RunDirError
from neuralop_jax.training import RunDirectory

CONFIG = ExperimentConfig(DataConfig("data.h5", ("a",), ("u",)))


def test_two_in_one_process(tmp_path):
    with RunDirectory(tmp_path / "run") as first:
        first.open(CONFIG)
        with pytest.raises(RunDirError, match=f"in use by pid {os.getpid()}"), RunDirectory(tmp_path / "run", resume=True):
            pass
    with RunDirectory(tmp_path / "run", resume=True):
        pass


def test_two_that_start_together(tmp_path):
    """Both find no directory; the second to open it is refused."""
    with RunDirectory(tmp_path / "run") as first, RunDirectory(tmp_path / "run") as second:
        first.open(CONFIG)
        with pytest.raises(RunDirError, match="in use"):
            second.open(CONFIG)


def test_what_is_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    for name, message in (("file", "is a file, not a run directory"), ("full", "holds files but no run")):
        for resume in (False, True):
            with pytest.raises(RunDirError, match=message), RunDirectory(tmp_path / name, resume=resume):
                pass
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_an_empty_directory_will_do(tmp_path):
    with RunDirectory(tmp_path) as run:
        run.open(CONFIG)
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "run.lock"}


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with RunDirectory(tmp_path / "file" / "run") as run, pytest.raises(RunDirError, match="cannot be made: Not a directory"):
        run.open(CONFIG)


def test_metrics_keep_every_bit_and_survive_a_torn_line(tmp_path):
    with RunDirectory(tmp_path) as run:
        run.open(CONFIG)
        lines = [{"step": step, "loss": 0.1 / 3**step} for step in (1, 2, 3)]
        for line in lines:
            run.append_metrics(line)
        assert run.metrics() == lines
        with open(tmp_path / "metrics.jsonl", "a") as file:
            file.write('{"step": 4, "loss": 0.0')
        assert run.metrics() == lines
        run.begin(CONFIG, {"host": "n1"}, 2)
        assert run.metrics() == lines[:2]
        run.append_metrics(lines[2])
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == lines


def test_the_mark_of_completion_goes_when_the_run_goes_on(tmp_path):
    with RunDirectory(tmp_path) as run:
        run.open(CONFIG)
        run.finish({"steps": 3})
        assert (tmp_path / "DONE").exists() and json.loads((tmp_path / "results.json").read_text()) == {"steps": 3}
        run.begin(CONFIG, {}, 3)
        assert not (tmp_path / "DONE").exists() and (tmp_path / "results.json").exists()
    assert not list(tmp_path.glob(".*"))
