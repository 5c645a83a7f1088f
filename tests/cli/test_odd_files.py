"""Paths and contents that no user means: one line, at once, and nothing is read without end."""

import errno
import json
import os
import threading

import numpy as np
import pytest

from neuralop_jax import evaluation
from neuralop_jax.__main__ import main
from neuralop_jax._run_files import read_config
from neuralop_jax.cli import _run

LONG, LONGER = "a" * 300, "/".join(["a" * 200] * 30)


@pytest.fixture
def refused(capsys):
    """What a command line writes to standard error, one line of bounded length."""

    def refused(*words):
        code = main([str(word) for word in words])
        line = capsys.readouterr().err
        assert code == 2 and line.count("\n") == 1 and len(line) < 2100, (code, line)
        return line.strip()

    return refused


@pytest.mark.parametrize("name", [LONG, LONGER, "."], ids=["long", "longer", "dot"])
@pytest.mark.parametrize(
    "words",
    [
        ["train", "{}"],
        ["evaluate", "{}"],
        ["report", "{}"],
        ["data", "info", "{}"],
        ["train", "run.toml", "--data.path", "{}"],
        ["plan", "run.toml", "--data.path", "{}"],
        ["plan", "run.toml", "--json", "{}"],
        ["convert", "{}", "new", "--family", "mgno"],
        ["convert", "{}.npz", "new", "--family", "mgno"],
        ["convert", "weights.npz", "{}", "--family", "mgno"],
        ["predict", "{}", "smooth.h5", "out.npz"],
        ["leaderboard", "{}"],
        ["export", "{}", "new"],
        ["data", "convert", "{}", "out.h5"],
    ],
    ids=" ".join,
)
def test_paths_that_are_none(place, refused, name, words):
    if words[:2] == ["convert", "weights.npz"]:
        np.savez("weights.npz", a=np.ones(3))
    refused(*(word.replace("{}", name) for word in words))


@pytest.mark.parametrize("words", [["train"], ["data", "info"], ["train", "run.toml", "--data.path"], ["plan"]], ids=" ".join)
def test_pipes_and_devices(place, refused, words):
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        assert "pipe or a device" in refused(*words, path)


def test_a_path_with_a_zero_byte(place, refused):
    (place / "zero.toml").write_text((place / "run.toml").read_text().replace("smooth.h5", "a\\u0000b"))
    assert "embedded null byte" in refused("train", "zero.toml")


def test_values_of_ten_megabytes(place, refused):
    long = "\x1b]0;" + "x" * 10**7
    text = (place / "run.toml").read_text()
    for old, new in (('kind = "fno"', f"kind = {json.dumps(long)}"), ("width = 4", f"width = {json.dumps(long)}")):
        (place / "long.toml").write_text(text.replace(old, new))
        assert len(refused("train", "long.toml")) < 700
    (place / "long.toml").write_text(f"{text}\n[optimizer]\n{json.dumps('a_' * 10**6)} = 3\n")
    assert "unknown option 'optimizer.a_a_" in refused("train", "long.toml")
    assert len(refused("train", "run.toml", "--model.kind", "x" * 10**6)) < 700
    assert len(refused("y" * 10**6)) < 700
    (place / "long.toml").write_bytes(b"#" * (2**26 + 1))
    assert "it has more than 67,108,864 bytes" in refused("train", "long.toml")


def test_results_of_a_run_that_are_none(place, refused, trained):
    path = place / "runs" / "a" / "results.json"
    whole = json.loads(path.read_text())
    for name, wrong in (("splits", []), ("seed", [1]), ("parameters", float("nan")), ("train_seconds", float("nan"))):
        path.write_text(json.dumps({**whole, name: wrong}))
        assert f"results.json is damaged: its table.{name} must be" in refused("evaluate", "runs/a")
        assert "runs/a" in refused("leaderboard", "runs/a")
    path.write_text(json.dumps(whole))
    environment = place / "runs" / "a" / "env.json"
    environment.write_text(json.dumps({**json.loads(environment.read_text()), "versions": []}))
    for verb in ("report", "leaderboard"):
        assert "env.json is damaged: its table.versions must be a table, got the list []" in refused(verb, "runs/a")
    for content in ("[]", "[" * 10**5, "\udcff"):
        path.write_bytes(content.encode(errors="surrogateescape"))
        assert "results.json" in refused("evaluate", "runs/a")
        assert "results.json" in refused("leaderboard", "runs/a")


def test_errors_that_cannot_be_kept_are_shown(trained, capsys, monkeypatch):
    computed, read = [], evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", lambda *args, **options: computed.append(read(*args, **options)) or computed[-1])
    path = trained / "runs" / "a" / "results.json"
    whole = path.read_text()
    path.write_text("{")
    assert main(["evaluate", "runs/a", "--split", "test_8"]) == 2 and not computed
    assert "results.json cannot be read" in capsys.readouterr().err
    path.write_text(whole)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_run, "write_whole", full)
    assert main(["evaluate", "runs/a", "--split", "test_8"]) == 2
    out, line = capsys.readouterr()
    assert f"{computed[0]['relative_l2']:.4g}" in out and "results.json cannot be written: No space left" in line


def test_a_configuration_that_names_other_data_than_the_checkpoint(place, trained, capsys):
    path = place / "runs" / "a" / "config.json"
    path.write_text(path.read_text().replace('"v"', '"w"'))
    assert main(["report", "runs/a"]) == 0
    line = (
        "Pictures and spectra are missing: runs/a/config.json names &#x27;w&#x27;, which the data of its checkpoint do not have."
    )
    assert line in (place / "runs" / "a" / "report.html").read_text()


def test_two_leaderboards_at_once_lose_no_entry(place, trained, monkeypatch):
    """Two threads stand for two processes: the lock is one of open files."""
    split = {"grid": [8], "count": 3, "relative_l2": 0.1, "relative_h1": 0.2}
    entry = {"configuration": "run.toml", "options": "", "model": "fno", "parameters": 1, "steps": 6, "seconds": 1.0}
    entry |= {"splits": {"test_8": split}, "versions": {"neuralop_jax": "0.1.0", "jax": "0.10.2"}, "commit": "a"}
    entry |= {"device": "cpu", "cores": 2, "date": "2026-11-28"}
    found = {name: entry | {"seed": seed} for seed, name in enumerate(("runs/b", "runs/c"), start=5)}
    read, met = evaluation.read_records, threading.Barrier(2)

    def slow(path):
        records = read(path)
        try:
            met.wait(0.5)  # without a lock, both have read before one writes
        except threading.BrokenBarrierError:
            pass
        return records

    monkeypatch.setattr(evaluation, "read_records", slow)
    monkeypatch.setattr(evaluation, "record", lambda run: found[str(run)])
    monkeypatch.setattr("neuralop_jax.cli.leaderboard.read_config", lambda run: read_config(place / "runs" / "a"))
    threads = [threading.Thread(target=main, args=(["leaderboard", name],)) for name in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry["seed"] for entry in read(place / "results.json")] == [5, 6]
