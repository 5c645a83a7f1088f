"""Whatever happens to the process that parses HDF5 files becomes an error here, and the next file is read again."""

import errno
import json
import os
import signal
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
import scipy.io

from neuralop_jax.data import HDF5Dataset, _hdf5_process, open_hdf5, read_info, read_mat
from neuralop_jax.data._hdf5_process import Worker
from neuralop_jax.errors import DataError

PRELUDE = """
import os, signal, struct, sys, time
def say(code, said):
    sys.stdout.buffer.write(struct.pack("<qq", code, len(said)) + said)
    sys.stdout.buffer.flush()
def text(said):
    return struct.pack("<q", len(said)) + said
for line in sys.stdin.buffer:
"""
ENDINGS = {
    "crash": ("say(-11, b'')", r"\(reader crashed, signal 11\)"),
    "late": ("say(-14, b'')", "reader took more than 21 s"),
    "lost": ("os.kill(os.getpid(), signal.SIGKILL)", "was not read: .* may be whole"),
    "ends": ("sys.exit(3)", r"was not read: .* \(it ended with code 3\)"),
    "ends slowly": ("os.close(0); os.close(1); time.sleep(0.3); os._exit(3)", r"was not read: .* \(it ended with code 3\)"),
    "hangs": ("time.sleep(60)", "was not read: .* may be whole"),
    "nothing": ("say(0, b'')", "reader gave no answer"),
    "cut": ("sys.stdout.buffer.write(bytes(7)); sys.stdout.flush(); sys.exit()", "was not read"),
    "nonsense": ("say(0, text(b'{'))", "reader gave no answer"),
    "deep": ("say(0, text(b'[' * 10**6))", "reader gave no answer"),
    "list": ("say(0, text(b'[1]'))", "reader gave no answer"),
    "no objects": ("say(0, text(b'{}'))", "reader gave no answer"),
    "length": ("say(0, struct.pack('<q', -5) + b'{}')", "reader gave no answer"),
    "table": ("say(0, text(b'{\"objects\": []}') + bytes(25))", "reader gave no answer"),
    "empty": ("say(0, text(b'{\"objects\": []}'))", "is damaged"),
    "no group": ("say(0, text(b'{\"objects\": [3]}'))", "is damaged"),
    "no members": ('say(0, text(b\'{"objects": [{"attributes": []}]}\'))', "is damaged"),
    "error": ('say(0, text(b\'{"error": "a b"}\'))', "is damaged: a b"),
}


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("u", data=np.arange(40.0).reshape(5, 8), chunks=(1, 8))
    return tmp_path / "x.h5"


@pytest.fixture
def own_worker(monkeypatch):
    """A worker for this test alone."""
    worker = Worker()
    monkeypatch.setattr("neuralop_jax.data._hdf5_file.worker", worker)
    yield worker
    worker.stop()


@pytest.mark.parametrize("name", ENDINGS)
def test_whatever_the_reader_does_becomes_an_error(path, tmp_path, monkeypatch, own_worker, name):
    code, message = ENDINGS[name]
    (tmp_path / "worker.py").write_text(PRELUDE + "    " + code)
    monkeypatch.setattr(_hdf5_process, "WORKER", tmp_path / "worker.py")
    if name == "hangs":
        monkeypatch.setattr(_hdf5_process, "SECONDS", 0.5)
        monkeypatch.setattr(_hdf5_process, "PATIENCE", 0)
    with pytest.raises(DataError, match=message) as error:
        read_info(path)
    assert "\n" not in str(error.value)


def lying(path, **changes):
    """What the reader says of `path`, its dataset changed."""
    with open_hdf5(path) as file:
        objects, table = json.loads(json.dumps(file.objects)), file.table
    objects[1] |= changes
    return {"objects": objects}, table


@pytest.mark.parametrize(
    "changes",
    [
        {"table": [0, 4]},
        {"table": [7, 12]},
        {"table": ["a", "b"]},
        {"table": None, "place": -8},
        {"table": None, "place": 10**9},
        {"table": None, "inline": "00"},
        {"table": None},
        {"chunks": [1, 9]},
        {"chunks": [1, 0]},
        {"chunks": [8]},
        {"shape": [5, -8]},
        {"shape": [2**40, 8]},
        {"dtype": "|O8"},
        {"dtype": "f8,f8"},
        {"dtype": 3},
        {"filters": [[1, [6], "deflate"]]},
        {"filters": [[3, [], "fletcher32"]]},
        {"filters": 5},
        {"attributes": [1]},
    ],
)
def test_a_reader_that_lies_about_an_array(path, monkeypatch, own_worker, changes):
    told, table = lying(path, **changes)
    said = json.dumps(told).encode()
    monkeypatch.setattr(own_worker, "_ask", lambda *_: struct.pack("<q", len(said)) + said + table.tobytes())
    own_worker._known.clear()
    with pytest.raises(DataError):
        HDF5Dataset(path, "train", "u", "u").read_all()


def test_the_next_file_is_read_after_the_reader_was_killed(path, own_worker):
    info = read_info(path)
    first = own_worker._process.pid
    os.kill(first, signal.SIGKILL)
    own_worker._process.wait()
    own_worker._known.clear()
    assert read_info(path) == info
    assert own_worker._process.pid != first


def test_one_process_reads_many_files(path, own_worker):
    read_info(path)
    first = own_worker._process.pid
    for _ in range(3):
        own_worker._known.clear()
        read_info(path)
    assert own_worker._process.pid == first


def test_known_files_are_not_asked_for_again(path, own_worker, monkeypatch):
    asked = []
    ask = own_worker._ask
    monkeypatch.setattr(own_worker, "_ask", lambda *words: asked.append(words) or ask(*words))
    for _ in range(3):
        read_info(path)
    assert len(asked) == 1
    with h5py.File(path, "r+") as file:
        file["u"][0, 0] = 7.0
    with open_hdf5(path) as file:
        assert file["u"][:1, :1] == 7.0
    assert len(asked) == 2
    monkeypatch.setattr(_hdf5_process, "SMALL", 0)
    for age, times in ((0, 4), (10, 5)):  # one that just changed may change again at the same time of the file system's clock
        os.utime(path, (path.stat().st_mtime - age,) * 2)
        read_info(path)
        read_info(path)
        assert len(asked) == times


def test_a_fork_has_a_reader_of_its_own(path, own_worker):
    info = read_info(path)
    own_worker._known.clear()
    child = os.fork()
    if child == 0:
        os._exit(0 if read_info(path) == info and own_worker._process is not None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_info(path) == info


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
@pytest.mark.parametrize("name", ["u.h5", "v.mat"])
def test_a_reader_that_cannot_be_started_is_no_fault_of_the_file(path, own_worker, monkeypatch, number, name):
    scipy.io.savemat(path.with_name("v.mat"), {"u": np.ones((2, 3))})
    path.rename(path.with_name("u.h5"))

    def refuse(*args, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    read = read_mat if name == "v.mat" else read_info
    with pytest.raises(DataError) as caught:
        read(path.with_name(name))
    line = str(caught.value)
    assert f"{name} was not read: the process that reads such files does not run (" in line and os.strerror(number) in line
    assert "The file may be whole" in line and "damaged" not in line
    monkeypatch.undo()
    monkeypatch.setattr("neuralop_jax.data._hdf5_file.worker", own_worker)
    assert read(path.with_name(name))


def test_a_missing_python_is_no_fault_of_the_file(path, own_worker, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(
        DataError, match=r"was not read: .* \(/nowhere/python: No such file or directory\)\. The file may be whole"
    ):
        read_info(path)


def test_a_reader_that_cannot_fork_says_so_and_goes_on(path, tmp_path, own_worker, monkeypatch):
    """A limit on processes does not hold for root: the fork is refused in its place."""
    text = _hdf5_process.WORKER.read_text()
    refusing = "def refuse():\n    raise BlockingIOError(11, os.strerror(11))\nos.fork = refuse\n"
    (tmp_path / "worker.py").write_text(text.replace('if __name__ == "__main__":', f'{refusing}if __name__ == "__main__":'))
    monkeypatch.setattr(_hdf5_process, "WORKER", tmp_path / "worker.py")
    for _ in range(2):
        with pytest.raises(DataError, match=r"was not read: .* \(Resource temporarily unavailable\)"):
            read_info(path)
    assert own_worker._process.poll() is None


def test_limits_reach_the_reader(path, own_worker, monkeypatch):
    monkeypatch.setattr(_hdf5_process, "MEMORY", 2**20)
    with pytest.raises(DataError, match="cannot be parsed|is damaged"):
        read_info(path)
