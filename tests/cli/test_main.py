"""Verbs, help, exit codes, and one line per mistake."""

import errno
import os
import subprocess
import sys

import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.cli import _main
from neuralop_jax.errors import ConfigError, SolverError, TrainingDiverged


def refused(capsys, *words):
    """What `main` writes to standard error for wrong input: exactly one line, and nothing on standard output."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("\n") and err.count("\n") == 1
    return err.strip()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [],
            "neuralop-jax needs a command: train, sweep, plan, evaluate, uncertainty, predict, report, export, leaderboard, invert, generate, data info, data convert, ",
        ),
        (
            ["trian", "x.toml"],
            (
                "unknown command 'neuralop-jax trian'. Known: train, sweep, plan, evaluate, uncertainty, predict, report, export, leaderboard, invert, generate, data info, "
                "data convert, convert, doctor, benchmark. Did you mean 'train'?"
            ),
        ),
        (["data", "inof", "x.h5"], "Did you mean 'data info'?"),
        (
            ["train"],
            "neuralop-jax train needs CONFIG. Usage: neuralop-jax train CONFIG [OPTIONS]; see neuralop-jax train --help.",
        ),
        (["predict", "runs/a"], "neuralop-jax predict needs RUN INPUT OUTPUT."),
        (["data", "info"], "neuralop-jax data info needs FILE."),
        (
            ["evaluate", "runs/a", "--reslution", "16"],
            "unknown option '--reslution' of neuralop-jax evaluate. Did you mean '--resolution'?",
        ),
        (["evaluate", "runs/a", "--resolution"], "Missing value for argument '--resolution'."),
        (["evaluate", "runs/a", "runs/b"], "unexpected argument 'runs/b'. Usage: neuralop-jax evaluate RUN [OPTIONS]"),
        (["train", "x.toml", "--resum"], "unknown option '--resum' of neuralop-jax train. Did you mean '--resume'?"),
        (["train", "x.toml", "--steps", "3"], "unknown option '--steps' of neuralop-jax train. Did you mean '--training.steps'?"),
        (["train", "x.toml", "--lr=3"], "unknown option '--lr' of neuralop-jax train. Did you mean '--optimizer.learning-rate'?"),
        (["train", "x.toml"], "no such configuration: x.toml (looked in "),
        (["evaluate", "runs/none"], "no such run directory: runs/none (looked in "),
        (["report", "runs/none"], "no such run directory: runs/none (looked in "),
    ],
)
def test_wrong_words(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *words)
    assert not list(tmp_path.iterdir())


def test_debug_adds_the_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "x.toml", "--debug"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and err.splitlines()[-1].startswith("no such configuration: x.toml")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a\nb\x1b[31m"), 2),
        (TrainingDiverged("a b"), 1),
        (SolverError("a b"), 1),
        (KeyboardInterrupt(), 130),
        (SystemExit(3), 3),
        (SystemExit(None), 0),
        (SystemExit("needs a GPU"), 1),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1),
    ],
)
def test_exit_codes(capsys, monkeypatch, error, code):
    def fail():
        raise error

    monkeypatch.setattr(_main, "_command", lambda words: fail)
    assert main([]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == (0 if code in (0, 3) else 1) and "\x1b" not in err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


def test_help_of_train_lists_every_option_with_default_and_description(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("CONFIG", "--out", "--resume", "--print-config", "--seed", "--data.augment", "--model.kind", "--loss.kind"):
        assert option in out
    assert "--training.log-every" in out and "Steps per compiled interval" in out and "(default: 50)" in out
    assert "{adamw,adam,sgd,lion}" in out


def test_overview_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in _main.VERBS)


@pytest.mark.parametrize("words", [["--help"], *([*verb.split(), "--help"] for verb in _main.VERBS)])
def test_help_does_not_import_jax(words):
    script = (
        "import sys; from neuralop_jax.__main__ import main; code = main(sys.argv[1:]); "
        "loaded = {'jax', 'equinox', 'h5py', 'grain', 'orbax', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'imported {loaded}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: neuralop-jax" in done.stdout


def test_module_and_console_script_are_the_same_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "neuralop_jax", "trian"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Did you mean 'train'?" in done.stderr
