"""Run directories that are in use, taken, impossible, or to be continued with other options."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_problem import lines_of, logged

from neuralop_jax.__main__ import main
from neuralop_jax.cli.train import _new_run
from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.errors import RunDirError
from neuralop_jax.training import DeviceInterval, RunDirectory, fit

CONFIG = ExperimentConfig(DataConfig("data.h5", ("a",), ("u",)))
HOLD = """
import sys
from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.training import RunDirectory
with RunDirectory(sys.argv[1]) as run:
    run.open(ExperimentConfig(DataConfig("data.h5", ("a",), ("u",))))
    print("held", flush=True)
    sys.stdin.read()
"""


def test_f12_a_directory_in_use_is_refused_and_one_of_a_dead_process_taken_over(tmp_path):
    run = tmp_path / "run"
    words = [sys.executable, "-c", HOLD, str(run)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        before = {file: file.read_bytes() for file in run.iterdir()}
        for options in ({}, {"resume": True}, {"overwrite": True}):
            start = time.monotonic()
            with pytest.raises(RunDirError) as caught, RunDirectory(run, **options):
                pass
            assert time.monotonic() - start < 1
            message = str(caught.value)
            assert f"{run} is in use by pid {holder.pid} on host " in message and " since " in message
            assert "\n" not in message and "Choose another --out" in message
            assert {file: file.read_bytes() for file in run.iterdir()} == before
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert str(holder.pid) in (run / "run.lock").read_text()
    with RunDirectory(run, resume=True):
        assert f"pid {os.getpid()} on host" in (run / "run.lock").read_text()
    assert (run / "run.lock").read_text() == ""


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_f13_an_existing_run_is_refused_resumed_or_moved_aside_never_deleted(unmeasured, configure, quiet, run):
    fit(configure(training={"steps": 4}), run_dir=run, console=quiet)
    before = contents(run)
    with pytest.raises(RunDirError, match=r"already holds a run \(step 4\)\. Use --resume .*, --overwrite "):
        fit(configure(), run_dir=run, console=quiet)
    assert contents(run) == before
    fit(configure(), run_dir=run, overwrite=True, console=quiet)
    assert len(lines_of(run)) == 6
    (aside,) = set(run.parent.iterdir()) - {run}
    assert aside.name.startswith("a.before-") and contents(aside) == before
    with pytest.raises(RunDirError, match="cannot be both resumed and overwritten"):
        fit(configure(), run_dir=run, resume=True, overwrite=True, console=quiet)
    (run.parent / "mine").mkdir()
    (run.parent / "mine" / "thesis.tex").write_text("all of it")
    with pytest.raises(RunDirError, match="holds files but no run"):
        fit(configure(), run_dir=run.parent / "mine", overwrite=True, console=quiet)
    assert (run.parent / "mine" / "thesis.tex").read_text() == "all of it"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300, "File name too long"),
        ("/".join(["directory" * 20] * 21), "has a path of more than 3800 bytes"),
        ("file/run", "Not a directory"),
        ("\udcff", "is not UTF-8 text"),
    ],
    ids=["long name", "long path", "file in the way", "not text"],
)
def test_f28_a_directory_that_cannot_hold_a_run_is_refused_before_training(
    configure, quiet, tmp_path, name, message, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunDirError, match=message) as caught:
        fit(configure(), run_dir=name, console=quiet)
    assert "Choose another --out" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "sines.h5"}


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_f28_read_only_places_and_places_without_inodes(configure, quiet, run, monkeypatch, number):
    def refuse(*args, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunDirError, match=f"{run} cannot be made: {os.strerror(number)}. Choose another --out."):
        fit(configure(), run_dir=run, console=quiet)


def test_f28_a_directory_on_a_full_disk_is_named(unmeasured, configure, quiet, run, files_of_at_most):
    """One that is there, empty or with a run. That can be moved aside: its name takes no room."""
    run.mkdir(parents=True)
    full = f"{run} cannot be written: File too large. Make room there, or choose another --out."
    with files_of_at_most(0), pytest.raises(RunDirError) as caught, RunDirectory(run):
        pass
    assert str(caught.value) == full and [path.name for path in run.iterdir()] == ["run.lock"]
    with RunDirectory(run) as directory:
        directory.open(configure())
    before = contents(run)
    with RunDirectory(run, overwrite=True) as directory, files_of_at_most(0):
        with pytest.raises(RunDirError) as caught:
            directory.open(configure())
    assert str(caught.value) == full
    (aside,) = set(run.parent.iterdir()) - {run}
    assert contents(aside) == before


def test_f12_a_run_whose_directory_was_moved_writes_nothing_to_the_next_of_its_name(
    unmeasured, configure, quiet, run, monkeypatch
):
    """The other run begins while the interval up to step 6 is made."""
    other, advance = RunDirectory(run), DeviceInterval.__call__

    def move(self, state, num_steps):
        state, history = advance(self, state, num_steps)
        if int(state.step) == 6:
            run.rename(run.with_name("moved"))
            other.__enter__().open(CONFIG)
            other.append_metrics({"step": 1})
            before.update(contents(run))
        return state, history

    before = {}
    monkeypatch.setattr(DeviceInterval, "__call__", move)
    with pytest.raises(
        RunDirError, match=f"^{run} is no longer the directory that this run holds: .* Resume the run where it is"
    ):
        fit(configure(), run_dir=run, console=quiet)
    assert contents(run) == before and other.metrics() == [{"step": 1}]
    other.__exit__(None, None, None)
    assert [line["step"] for line in lines_of(run.with_name("moved"))] == [2, 4]


def test_f28_names_in_any_script_will_do(unmeasured, configure, quiet, tmp_path):
    run = tmp_path / "läufe und проба" / "測試 'a' $b"
    fit(configure(), run_dir=run, console=quiet)
    result = fit(configure(training={"steps": 16}), run_dir=run, resume=True, console=quiet)
    assert result.results["steps"] == 16 and (run / "DONE").exists()


def test_f30_names_do_not_repeat_when_the_clock_stands_still(monkeypatch, tmp_path):
    monkeypatch.setattr(time, "strftime", lambda *args: "20260101-000000")
    names = {_new_run(CONFIG) for _ in range(300)}
    assert len(names) == 300 and all(name.name.startswith("data-fno-20260101-000000-") for name in names)
    for _ in range(4):
        with RunDirectory(tmp_path / "run", overwrite=True) as run:
            run.open(CONFIG)
    assert len(list(tmp_path.iterdir())) == 4


def test_f30_a_clock_that_jumps_back_changes_no_number(unmeasured, configure, quiet, run, monkeypatch):
    fit(configure(), run_dir=run, console=quiet)
    moments = iter(range(10**9, 0, -(10**4)))
    monkeypatch.setattr(time, "time", lambda: float(next(moments)))
    other = run.with_name("b")
    for steps in (6, 12):
        fit(
            configure(training={"steps": steps}, optimizer={"schedule": "constant"}),
            run_dir=other,
            resume=steps > 6,
            console=quiet,
        )
    fit(configure(optimizer={"schedule": "constant"}), run_dir=run, overwrite=True, console=quiet)
    assert logged(other) == logged(run)
    seconds = [line["seconds"] for line in lines_of(other)]
    assert seconds == sorted(seconds) and seconds[0] > 0


@pytest.fixture
def toml(configure, data_file, monkeypatch):
    """The small problem as a file, in the working directory."""
    monkeypatch.chdir(data_file.parent)
    path = Path("run.toml")
    path.write_text(
        '[data]\npath = "sines.h5"\ninput = ["a"]\ntarget = ["v"]\nbatch_size = 4\n[model]\nkind = "pointwise"\n'
        "[training]\nsteps = 4\nlog_every = 2\nsave_every = 2\n"
    )
    return str(path)


@pytest.fixture
def unreported(monkeypatch):
    monkeypatch.setattr("neuralop_jax.cli._report.write_report", lambda run: run / "report.html")
    monkeypatch.setattr("neuralop_jax.cli.train.show_errors", lambda splits, title: None)


def test_f31_an_edited_configuration_is_shown_and_needs_force(unmeasured, unreported, toml, capsys):
    words = ["train", toml, "--out", "runs/a"]
    assert main(words) == 0
    before = contents(Path("runs/a"))
    edited = [*words, "--resume", "--optimizer.learning-rate", "5e-3", "--training.steps", "8"]
    capsys.readouterr()
    assert main(edited) == 2
    error = capsys.readouterr().err
    assert "runs/a was trained with another configuration: optimizer.learning_rate 0.001 -> 0.005. Resume" in error
    assert "--force" in error and error.count("\n") == 1 and contents(Path("runs/a")) == before
    assert main([*words, "--force"]) == 2
    assert "--force allows another configuration with --resume" in capsys.readouterr().err
    assert main([*edited, "--force"]) == 0
    log = Path("runs/a/run.log").read_text()
    assert "resumed with optimizer.learning_rate 0.001 -> 0.005" in log and "resumed with training.steps 4 -> 8" in log
    assert json.loads(Path("runs/a/config.json").read_text())["optimizer"]["learning_rate"] == 0.005
    assert main(words[:-1] + ["runs/a", "--overwrite"]) == 0
    assert len(list(Path("runs").iterdir())) == 2 and "is now in runs/a.before-" in capsys.readouterr().out


def test_f32_the_results_outlive_a_report_that_fails(toml, capsys, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no font")

    with monkeypatch.context() as patch:
        patch.setattr("neuralop_jax.viz.plot_curves", fail)
        assert main(["train", toml, "--out", "runs/a"]) == 1
    assert (
        "The report failed (RuntimeError: no font); the run is whole. Try: neuralop-jax report runs/a" in capsys.readouterr().out
    )
    run = Path("runs/a")
    assert (run / "DONE").exists() and json.loads((run / "results.json").read_text())["splits"].keys() == {"test_8", "test_16"}
    assert not (run / "report.html").exists()
    assert main(["report", "runs/a"]) == 0
    assert "Norm of the gradient, the mean over each interval." in (run / "report.html").read_text()


@pytest.mark.parametrize("line", ["{", "{}", "5", '{"step": "5"}', "\udcff", "[" * 100_000])
def test_f19_a_damaged_line_is_named_and_no_later_one_is_lost(configure, run, line):
    with RunDirectory(run) as directory:
        directory.open(configure())
        for step in (1, 2):
            directory.append_metrics({"step": step})
    lines = (run / "metrics.jsonl").read_bytes().splitlines()
    found = b"\n".join([lines[0], line.encode(errors="surrogateescape"), lines[1], b'{"ste'])
    (run / "metrics.jsonl").write_bytes(found)
    with pytest.raises(RunDirError, match=r"metrics\.jsonl is damaged in line 2 of 4\. Restore it, or move it away"):
        fit(configure(), run_dir=run, resume=True)
    assert (run / "metrics.jsonl").read_bytes() == found


@pytest.mark.parametrize("content", ["{", "[]", "\udcff", "[" * 100_000])
def test_f19_a_damaged_configuration_is_one_line(configure, run, content):
    with RunDirectory(run) as directory:
        directory.open(configure())
    (run / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RunDirError, match=r"config\.json (cannot be read|is damaged): .*train the run again"):
        fit(configure(), run_dir=run, resume=True)


def test_f23_links_and_pipes_in_a_run_directory_lead_nowhere(configure, run, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    with RunDirectory(run) as directory:
        directory.open(configure())
        for name in (".metrics.jsonl.partial", "metrics.jsonl", "run.log"):
            (run / name).symlink_to(victim)
        directory.log("a line")
        with pytest.raises(RunDirError, match=r"metrics\.jsonl cannot be written"):
            directory.append_metrics({"step": 1})
        directory.write_json("metrics.jsonl", {})
        (run / "metrics.jsonl").unlink()
        os.mkfifo(run / "metrics.jsonl")
        with pytest.raises(RunDirError, match=r"metrics\.jsonl cannot be read: it is a pipe"):
            directory.metrics()
    assert victim.read_text() == "mine"


def test_f01_a_run_that_was_killed_in_its_first_write_can_be_started_again(configure, run):
    run.mkdir(parents=True)
    (run / "run.lock").write_text("")
    (run / f".config.json.{'0f' * 8}.partial").write_text("{")
    with RunDirectory(run) as directory:
        directory.open(configure())
        directory.begin(configure(), {}, 0)
    assert not list(run.glob(".*.partial"))
