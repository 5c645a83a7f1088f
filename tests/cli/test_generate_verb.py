"""`generate`: its file, its options in one line of refusal each, and what a signal leaves."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.cli.generate import Generate, split_options
from neuralop_jax.data import HDF5Dataset, read_info
from neuralop_jax.data.generators import GENERATORS

SMALL = ("generate", "advection", "--n", "12", "--resolution", "16", "--num-frames", "2")


def refused(capsys, *words):
    """What `main` writes to standard error for wrong input: exactly one line."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("\n") and err.count("\n") == 1
    return err.strip()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_file_and_what_is_said(tmp_path, capsys):
    assert main([*SMALL, "--speed", "-1.5"]) == 0
    out, err = capsys.readouterr()
    path = "datasets/advection/advection.h5"
    assert err == "" and out.splitlines()[:3] == [
        "advection: 12/12 samples",
        "train: 10 samples, 16 points, 2 frames",
        "test: 2 samples, 16 points, 2 frames",
    ]
    assert f"File: {path} (" in out and f"neuralop-jax data info {path}" in out
    info = read_info(path)
    told = json.loads(info.generation)
    assert info.parameters == {"speed": -1.5} and told["precision"] == "float64" and told["options"]["num_frames"] == 2
    assert "exists. Choose another file" in refused(capsys, *SMALL)
    assert main([*SMALL, "--test", "5", "--seed", "3", "--precision", "float32", "--overwrite"]) == 0
    info = read_info(path)
    assert {name: split.num_samples for name, split in info.splits.items()} == {"train": 7, "test": 5}
    assert (json.loads(info.generation)["precision"], json.loads(info.generation)["seed"]) == ("float32", 3)
    assert main(["data", "info", path]) == 0
    assert HDF5Dataset(path, "test", "u", "u").read_all().target.shape == (5, 2, 16)


def test_chunks_and_batches(tmp_path, capsys):
    assert main([*SMALL, "--out", "an a.h5", "--batch", "2", "--chunk", "4"]) == 0
    assert "neuralop-jax data info 'an a.h5'\n" in capsys.readouterr().out
    assert main([*SMALL, "--out", "b.h5", "--batch", "2"]) == 0
    assert (tmp_path / "an a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neuralop-jax generate needs NAME. Usage: neuralop-jax generate NAME [OPTIONS]"),
        (["advektion"], "unknown generator 'advektion'. Known: advection, "),
        (["advection", "--sped", "3"], "unknown option '--sped' of neuralop-jax generate advection. Did you mean '--speed'?"),
        (
            ["advection", "--resoluton=3"],
            "unknown option '--resoluton' of neuralop-jax generate advection. Did you mean '--resolution'?",
        ),
        (["advection", "--xyzzy", "3"], "Options of advection: --speed, --final-time, "),
        (["advection", "--speed", "fast"], "speed must be a number, got the string 'fast' (command line)."),
        (["advection", "--num-frames", "1"], "num_frames must be >= 2, got 1 (command line)."),
        (["advection", "--speed"], "--speed needs a value (command line). Write --speed VALUE."),
        (["advection", "--n", "-1"], "--n must be at least 1 and below 2**32, got -1."),
        (["advection", "--n", "many"], "Error parsing --n: "),
        (["advection", "--n", "5", "--test", "6"], "--test must be between 0 and the 5 samples of --n, got 6."),
        (["advection", "--precision", "float16"], "invalid choice 'float16' for argument '--precision'"),
        (["advection", "burgers"], "unexpected argument 'burgers'."),
    ],
)
def test_wrong_words(capsys, tmp_path, words, message):
    assert message in refused(capsys, "generate", *words)
    assert not list(tmp_path.iterdir())


def test_options_are_told_apart():
    words = ["advection", "--speed", "-2.0", "--n", "5", "--max-failed=0.5", "--num-frames=3", "--overwrite"]
    assert split_options(words) == (
        ["advection", "--n", "5", "--max-failed=0.5", "--overwrite"],
        ["--speed", "-2.0", "--num-frames=3"],
    )


def test_help_is_fast_and_complete(capsys):
    code = (
        "import sys; from neuralop_jax.__main__ import main; code = main(['generate', '--help']);"
        "print(code, [m for m in ('jax', 'h5py', 'grain') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "0 []"
    assert all(name in Generate.__doc__ + told for name in GENERATORS)
    assert main(["generate", "advection", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--speed FLOAT" in shown and "--max-failed FLOAT" in shown and "it may be negative" in shown


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_every_option_is_documented(name, capsys):
    assert main(["generate", name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    texts = {part.split()[0]: part.split(" (default:")[0].split()[2:] for part in re.split(r" --(?=[a-z])", shown)[1:]}
    assert all(texts[field.name.replace("_", "-")] for field in dataclasses.fields(GENERATORS[name]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_generation_goes_on_with_the_same_command(tmp_path, capsys, number):
    words = [*SMALL, "--out", "a.h5", "--n", "2000000", "--batch", "64", "--chunk", "64"]
    process = subprocess.Popen(
        [sys.executable, "-m", "neuralop_jax", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    parts = tmp_path / "a.h5.parts"
    try:
        while process.poll() is None and len(list(parts.glob("*.h5"))) < 2:
            time.sleep(0.02)
        assert f"a.h5 is being generated by pid {process.pid} on host " in refused(capsys, *words)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (128 + number, "")
    assert out.splitlines()[-1] == "Stopped. Finished samples are kept in a.h5.parts; the same command goes on from there."
    assert sorted({path.suffix for path in parts.iterdir()}) == [".h5", ".json", ".lock"]
    kept = len(list(parts.glob("*.h5"))) * 64
    assert "seed 0 -> 1" in refused(capsys, *words, "--seed", "1")
    words[words.index("2000000")] = str(kept + 30)
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"advection: going on from {kept} samples\n")
    assert sum(split.num_samples for split in read_info("a.h5").splits.values()) == kept + 30
    assert os.listdir() == ["a.h5"]
