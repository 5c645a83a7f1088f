"""Standard output and error that take nothing: a closed pipe, a full disk."""

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console
from small_problem import configure as configure, data_file as data_file, lines_of

from neuralop_jax import evaluation
from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.training import fit


class Full(io.StringIO):
    """A stream that takes one line and then fails."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        if self.getvalue():
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe"), ValueError("closed")]
)
def test_f29_a_console_that_fails_is_a_logger_that_fails(configure, tmp_path, monkeypatch, error):
    monkeypatch.setattr(evaluation, "evaluate", lambda operator, split, batch_size: {"relative_l2": 0.5})
    run, file = tmp_path / "run", Full(error)
    console = Console(file=file, width=200)
    assert fit(configure(), run_dir=run, console=console).status == "finished"
    assert file.getvalue().startswith("step 2/12") and console.file is file
    assert [line["step"] for line in lines_of(run)] == [2, 4, 6, 8, 10, 12]
    with CheckpointStore(run / "checkpoints", read_only=True) as store:
        assert store.steps()[-1] == 12
    log = (run / "run.log").read_text()
    assert log.count(f"output failed and is left out ({type(error).__name__}: {error}).") == 1


SCRIPT = """
import sys
from neuralop_jax.cli import _main, train
from neuralop_jax._spared_output import spared_output
from neuralop_jax.cli._console import say
from neuralop_jax.errors import TrainingDiverged, DataError

@spared_output()
def work(outcome):
    print("a line"), say("another")
    if isinstance(outcome, Exception):
        raise outcome
    return outcome

def table():
    print("a table")

outcomes = {"done": 0, "signal": 143, "diverged": TrainingDiverged("loss is nan"), "wrong": DataError("no such file")}
_main._command = lambda words: table if words == ["table"] else lambda: work(outcomes[words[0]])
sys.exit(_main.main())
"""


@pytest.fixture(scope="module")
def end():
    """The exit code of an outcome, and what it says on standard error, with standard output and error into these files."""

    def run(outcome, out, err=subprocess.PIPE):
        words = [sys.executable, "-c", SCRIPT, outcome]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(words, stdout=out, stderr=err, env=environment, text=True, timeout=60)
        return done.returncode, done.stderr

    return run


def test_what_trains_ends_with_the_code_that_it_would_have(end):
    read, closed = os.pipe()
    os.close(read)
    with open("/dev/full", "w") as full:
        assert end("done", full) == (0, "") and end("done", full, full) == (0, None)
        assert end("signal", closed) == (143, "") and end("wrong", closed, closed) == (2, None)
        assert end("diverged", full) == (1, "loss is nan\n") and end("diverged", full, full) == (1, None)
    os.close(closed)


def test_a_table_that_cannot_be_written_is_an_error_in_one_line(end):
    with open("/dev/full", "w") as full:
        assert end("table", full) == (1, "No space left on device. Make room where the output goes.\n")
        assert end("table", full, full) == (1, None)
