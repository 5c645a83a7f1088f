"""F24: wrong configurations end with code 2 and one line: the option, where it is, what it is, what is allowed, what is similar."""

import contextlib
import io
import json
import subprocess
import sys

import pytest

BASE = """
[data]
path = "x.h5"
input = ["a"]
target = ["u"]
[model]
kind = "fno"
n_modes = [4, 4]
"""
CASES = [
    ("[training]\nsteps = 0\n", "training.steps must be >= 1, got 0 (run.toml, line 10)."),
    (
        '[training]\nsteps = "3"\n',
        "training.steps must be an integer >= 1, got the string '3' (run.toml, line 10). Remove the quotes.",
    ),
    ("[training]\nsteps = 2.5\n", "training.steps must be an integer >= 1, got 2.5"),
    ("[training]\nsteps = true\n", "training.steps must be an integer >= 1, got the boolean true"),
    ("[training]\nstesp = 3\n", "unknown option 'training.stesp' (run.toml, line 10). Did you mean 'training.steps'"),
    ("[trainign]\nsteps = 3\n", "unknown option 'trainign"),
    (
        '[optimizer]\nlearning_rate = "1e-3"\n',
        "must be a number > 0, got the string '1e-3' (run.toml, line 10). Remove the quotes.",
    ),
    ("[optimizer]\nlearning_rate = -1\n", "optimizer.learning_rate must be finite and > 0, got -1"),
    ("[optimizer]\nlearning_rate = nan\n", "optimizer.learning_rate must be finite and > 0, got nan"),
    ("[optimizer]\nlearning_rate = inf\n", "optimizer.learning_rate must be finite and > 0, got inf"),
    ("[optimizer]\nlr = 1e-3\n", "unknown option 'optimizer.lr' (run.toml, line 10). Did you mean 'optimizer.learning_rate'"),
    ('[optimizer]\nname = "adan"\n', "optimizer."),
    ("[data2]\nx = 1\n", "unknown option 'data2"),
    ("[training]\nsteps = [1]\n", "training.steps must be an integer >= 1, got the list [1]"),
    ("[[training]]\nsteps = 3\n", "training must be a table of options, [training]"),
    ("[training]\nsteps = 3\nsteps = 4\n", "run.toml is not valid TOML: Cannot overwrite a value (at line 11"),
    ("[training\nsteps = 3\n", "run.toml is not valid TOML"),
    ("[data.more]\nx = 1\n", "unknown option 'data.more"),
    ("\x00", "run.toml is not valid TOML"),
    ("[training]\nsteps = " + "[" * 3000, "run.toml"),
]
SCRIPT = """
import contextlib, io, json, sys
from pathlib import Path
from neuralop_jax.__main__ import main
found = []
for text in json.loads(sys.stdin.read()):
    Path("run.toml").write_text(text)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(["train", "run.toml", "--out", "runs/a"])
    found.append([code, said.getvalue(), "jax" in sys.modules, Path("runs").exists()])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What `train` says of each, in one process that has not imported JAX."""
    place, words = tmp_path_factory.mktemp("configurations"), json.dumps([BASE + text for text, _ in CASES])
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=words, cwd=place, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_f24_wrong_configurations(answers, number):
    text, message = CASES[number]
    code, said, jax_imported, written = answers[number]
    assert code == 2 and said.count("\n") == 1 and any(part in said for part in message.split("|")), said
    assert not written
    assert not jax_imported


def test_f24_wrong_words(tmp_path, monkeypatch):
    from neuralop_jax.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(BASE)
    for words, message in (
        (["--training.steps"], "--training.steps needs a value (command line)"),
        (["steps", "3"], "unexpected argument 'steps'"),
        (["--training.steps", "3.5"], "training.steps must be an integer >= 1, got 3.5 (command line)"),
        (["--training.steps.more", "3"], "command line"),
    ):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert main(["train", "run.toml", *words]) == 2
        assert message in said.getvalue() and said.getvalue().count("\n") == 1
