"""Two processes with two devices each, joined on this machine, against one process with four."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from neuralop_jax.cli import _main
from neuralop_jax.cli._processes import cluster, join
from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.data import HDF5Dataset, grain_batches
from neuralop_jax.errors import ConfigError, DataError, ProcessError, ProcessLost
from neuralop_jax.training import _agreement, _processes
from neuralop_jax.training._agreement import disagreement
from neuralop_jax.training._interval import DeviceInterval
from neuralop_jax.training._stopping import StopRequest

CONFIG = """
[data]
path = "sines.h5"
input = ["a"]
target = ["v"]
batch_size = 8
loader = "grain"
augment = ["reflect"]

[model]
kind = "fno"
n_modes = [4]
width = 8
depth = 1

[optimizer]
schedule = "constant"
accumulate = 2

[training]
steps = 4
log_every = 2
save_every = 4
ema = 0.9

[mesh]
data = 4
shard_parameters_above = 50
"""


ANY = ExperimentConfig(DataConfig("sines.h5", ("a",), ("v",)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place, a = tmp_path_factory.mktemp("processes"), np.random.default_rng(0).normal(size=(20, 8))
    with h5py.File(place / "sines.h5", "w") as file:
        file["a"], file["v"] = a, np.sin(a)
    (place / "run.toml").write_text(CONFIG)
    return place


def start(place, devices, *words):
    flags = {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-m", "neuralop_jax", "train", "run.toml", *words]
    environment = {**os.environ, **flags, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(words, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines_of(run):
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_are_one_training(place):
    """The numbers of one process, one writer, and a signal to the second process that stops both after the same interval."""
    words = ["--out", "runs/two", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--training.steps", "100000"]
    both = [start(place, 2, *words, "--training.save-every", "100000", "--process", str(index)) for index in (0, 1)]
    alone = start(place, 4, "--out", "runs/one")
    try:
        while all(process.poll() is None for process in both) and len(lines_of(place / "runs/two")) < 2:
            time.sleep(0.1)
        both[1].send_signal(signal.SIGTERM)
        (out, err), (other, trouble) = (process.communicate(timeout=120) for process in both)
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [143, 143], err + trouble
    said = re.sub(r"\[Gloo\][^\[\n]*", "", other)  # no setting keeps that part of JAX quiet
    assert "Stopped and saved in runs/two" in out and said.strip() == ""
    assert alone.communicate(timeout=120)[1] == ""
    one, two = lines_of(place / "runs/one"), lines_of(place / "runs/two")
    for wanted, found in zip(one, two, strict=False):
        assert found["step"] == wanted["step"]
        np.testing.assert_allclose([found["loss"], found["gradient_norm"]], [wanted["loss"], wanted["gradient_norm"]], rtol=1e-6)
    assert len(one) == 2 <= len(two) and [line["step"] for line in two] == list(range(2, 2 * len(two) + 1, 2))
    assert [file.name for file in (place / "runs/two/checkpoints").iterdir() if file.name.isdigit()] == [str(two[-1]["step"])]


def test_processes_that_want_different_things_all_stop(place):
    """With the same line and exit code, before the run directory is made."""
    words = ["--out", "runs/none", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    own = (["--process", "0"], ["--process", "1", "--optimizer.learning-rate", "0.5", "--model.transform", "fft"])
    both = [start(place, 2, *words, *each) for each in own]
    try:
        said = [process.communicate(timeout=120) for process in both]
    finally:
        for process in both:
            process.kill()
    lines = [re.sub(r"\[Gloo\][^\[\n]*", "", text).strip() for _, text in said]
    assert [process.returncode for process in both] == [2, 2], lines
    assert (
        lines[0]
        == lines[1]
        == (
            'the 2 processes of the run do not want the same: model.transform is unset in process 0 and "fft" in process 1; '
            "optimizer.learning_rate is 0.001 in process 0 and 0.5 in process 1. Start all with the same configuration, options and "
            "versions."
        )
    )
    assert not (place / "runs/none").exists()


@pytest.fixture(scope="module")
def failures(place):
    """By what failed, the outcome of both processes."""
    (place / "elsewhere").mkdir()
    (place / "other").mkdir()
    for name in ("elsewhere", "other"):
        (place / name / "run.toml").write_text(CONFIG)
    with h5py.File(place / "sines.h5") as file, h5py.File(place / "other/sines.h5", "w") as changed:
        changed["a"], changed["v"] = 2 * file["a"][:], file["v"][:]
    flags = {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd()}
    words, pipe = [sys.executable, Path(__file__).with_name("failing_processes.py").absolute()], subprocess.PIPE
    words, numbers = [*words, str(free_port())], ("0", "1")
    both = [
        subprocess.Popen([*words[:2], number, words[2]], cwd=place, env=os.environ | flags, stdout=pipe, stderr=pipe, text=True)
        for number in numbers
    ]
    try:
        said = [process.communicate(timeout=120) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said
    zero, one = (json.loads(out.splitlines()[-1]) for out, _ in said)
    return {name: (zero[name], one[name]) for name in zero}


@pytest.mark.parametrize("missing", [0, 1])
def test_a_process_without_data_stops_all(failures, missing, place):
    """The one with its own error, the other with a line that names it; no run directory is left."""
    found = failures[f"data are not there for {missing}"]
    own, other = found[missing], found[1 - missing]
    assert own["kind"] == "DataError" and own["said"].startswith("no such file: sines.h5 (looked in ")
    assert (other["kind"], other["said"]) == (
        "ProcessError",
        f"process {missing} of 2 failed before the first step: {own['said']}",
    )
    assert max(own["seconds"], other["seconds"]) < 30 and not (place / f"runs/missing_{missing}").exists()


def test_processes_that_read_other_data_all_stop(failures, place):
    """A copy of the file on one machine is an old one."""
    first, second = failures["other data"]
    assert first["kind"] == second["kind"] == "DataError" and first["said"] == second["said"]
    zero, one = (HDF5Dataset(place / name, "train", "a", "v").fingerprint[:12] for name in ("sines.h5", "other/sines.h5"))
    assert first["said"] == (
        f"the 2 processes of the run do not read the same data: split 'train' is {zero} in process 0 and {one} in process 1. "
        "Give all of them the same file."
    )
    assert not (place / "runs/other").exists()


def test_a_directory_that_cannot_be_used_stops_all(failures):
    first, second = failures["in use"]
    assert first["kind"] == "RunDirError" and "elsewhere holds files but no run" in first["said"]
    assert second["said"] == f"process 0 of 2 failed before the first step: {first['said']}"


def test_what_ends_the_first_process_later_is_told_in_part(failures):
    first, second = failures["disk full"]
    assert first["kind"] == "CheckpointError" and len(first["said"]) > 1000
    start = "process 0 of 2 failed: the disk is full. xxx"
    assert second["kind"] == "ProcessError" and second["said"].startswith(start) and second["said"].endswith("xxx...")
    assert len(second["said"]) == len("process 0 of 2 failed: ") + 300


@pytest.fixture
def without_the_other(monkeypatch):
    """As in one of two processes, of which the other is gone."""

    def gone(*_, **__):
        raise jax.errors.JaxRuntimeError("Gloo: connection closed by peer")

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "process_allgather", gone)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", gone)
    monkeypatch.setattr(_agreement, "check_agreement", lambda config: None)


@pytest.mark.parametrize("own", [DataError("no such file: a.h5"), TypeError("a bug"), KeyboardInterrupt()])
def test_an_error_of_its_own_comes_before_that_another_process_is_gone(without_the_other, own):
    """Before the first step, between steps and in the middle of them; the loss of the other is its cause."""

    def between():
        with _processes.leading(StopRequest()):
            raise own

    def in_the_middle():
        with _processes.leading(StopRequest()) as lead:
            lead(object.__new__(DeviceInterval)).in_step = False
            raise own

    def before():
        with _agreement.prepared_by_all(ANY):
            raise own

    for fail in (before, between, in_the_middle):
        with pytest.raises(type(own)) as caught:
            fail()
        assert caught.value is own and isinstance(own.__cause__, ProcessLost)
        assert str(own.__cause__).startswith("process 0 of 2 cannot go on with the others: ")


def raised_by(act):
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def fail(x):
    raise ValueError("a bug of the data source")


def test_what_jax_raises_is_that_another_process_is_gone(without_the_other):
    deleted = jax.numpy.zeros(2)
    deleted.delete()
    for error in (
        jax.errors.JaxRuntimeError("Gloo: timed out"),
        raised_by(lambda: np.asarray(deleted)),  # a plain `RuntimeError`, from where values are awaited
        raised_by(lambda: jax.block_until_ready([deleted, deleted])),
        ValueError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer"),  # from a call of a program that fails at once
    ):
        with pytest.raises(ProcessLost, match="process 0 of 2 cannot go on with the others: .*Error: "):
            with _processes.leading(StopRequest()):
                raise error


def test_what_the_code_of_a_user_raises_keeps_its_traceback(without_the_other):
    """Before, within and behind what JAX traces and calls back."""
    mapped = jax.jit(lambda x: jax.pure_callback(fail, jax.ShapeDtypeStruct((), x.dtype), x))
    for error in (
        ValueError("UNKNOWN option"),
        raised_by(lambda: fail(0)),
        raised_by(lambda: jax.jit(fail)(1.0)),
        raised_by(lambda: jax.vmap(lambda x, y: x)(np.zeros(2), np.zeros(3))),
        raised_by(lambda: jax.block_until_ready(mapped(1.0))),
    ):
        assert isinstance(error, _agreement.DEVICE_ERRORS)
        with pytest.raises(type(error)) as caught, _processes.leading(StopRequest()):
            raise error
        assert caught.value is error and isinstance(error.__cause__, ProcessLost)


def test_a_follower_that_fails_says_why_first(monkeypatch):
    for own, raised in (
        (DataError("bad"), DataError),
        (jax.errors.JaxRuntimeError("Gloo: closed"), ProcessLost),
        (RuntimeError("a bug"), RuntimeError),
        (ProcessError("x"), ProcessError),
    ):

        def obey(*_, own=own):
            raise own

        monkeypatch.setattr(_processes, "_obey", obey)
        monkeypatch.setattr(_processes, "prepare", lambda config: types.SimpleNamespace(initial=lambda: None, fingerprints=dict))
        monkeypatch.setattr(_processes, "prepared_by_all", lambda config: contextlib.nullcontext({}))
        with pytest.raises(raised) as caught:
            _processes.follow(ANY)
        assert type(caught.value) is raised and isinstance(caught.value.__cause__, ProcessLost) is (
            raised in (DataError, RuntimeError)
        )


@pytest.mark.parametrize(
    ("own", "code", "begin"), [(DataError("bad"), 2, "bad\n"), (TypeError("a bug"), 1, "TypeError: a bug\n"), (None, 1, "")]
)
def test_the_command_says_its_own_error_first_and_leaves(monkeypatch, capsys, own, code, begin):
    """At a usual end JAX would wait for the process that is gone."""
    gone = ProcessLost("process 0 of 2 cannot go on")

    def fail(words):
        raise gone if own is None else own from gone

    monkeypatch.setattr(_main, "_command", fail)
    monkeypatch.setattr(_main, "leave", sys.exit)
    with pytest.raises(SystemExit) as left:
        _main.main(["train"])
    assert left.value.code == code and capsys.readouterr().err.endswith(f"{begin}process 0 of 2 cannot go on\n")


def test_what_differs_is_named_up_to_a_point():
    one, two = ({f"option_{number}": str(number + shift) for number in range(8)} for shift in (0, 1))
    line = disagreement([one, {**one, "jax": "1"}, {**two, "jax": "1"}])
    assert line.startswith("jax is unset in process 0 and 1 in process 1; ") and line.endswith("; and 4 more")
    assert "option_0 is 0 in process 0 and 1 in process 2; " in line


def test_parts_of_a_batch_together_are_the_batch(place):
    dataset = HDF5Dataset(place / "sines.h5", "train", "a", "v")
    whole, parts = grain_batches(dataset, 6, 0), [grain_batches(dataset, 6, 0, share=(index, 3)) for index in range(3)]
    for _ in range(5):  # more than an epoch of three batches
        together = np.concatenate([next(part).target for part in parts])
        np.testing.assert_array_equal(together, next(whole).target)
    parts[1].set_state(whole.get_state())
    np.testing.assert_array_equal(next(parts[1]).target, next(whole).target[2:4])


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, ""),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}, "SLURM"),
        ({"SLURM_NTASKS": "4"}, ""),  # an allocation without srun: one process
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU"),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, ""),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "MPI"),
    ],
)
def test_what_started_the_processes(environment, name):
    assert cluster(environment) == name


@pytest.mark.parametrize("words", [("host:1", 0, -1), ("", 2, 1), ("host:1", 2, 2), ("host:1", 2, -1)])
def test_an_address_without_the_rest_is_refused(words):
    with pytest.raises(ConfigError, match="go together: the address of the first process"):
        join(*words)
