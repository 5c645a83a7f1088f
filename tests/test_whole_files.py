"""Files that appear whole or not at all, and one process at a time."""

import errno
import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from neuralop_jax import _whole_files
from neuralop_jax._whole_files import alone_with, make_way, whole_directory, whole_file, write_whole
from neuralop_jax.errors import DataError, RunDirError


def test_a_file_is_the_old_one_until_the_new_one_is_whole_and_on_the_disk(tmp_path, monkeypatch):
    path, forced = tmp_path / "a.txt", []
    path.write_text("old")
    fsync, identity = os.fsync, lambda status: (status.st_dev, status.st_ino)
    monkeypatch.setattr(os, "fsync", lambda number: forced.append(identity(os.fstat(number))) or fsync(number))
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert forced == [identity(path.stat()), identity(tmp_path.stat())]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_whole(path, "é")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    with pytest.raises(OSError, match="File name too long"):
        write_whole(tmp_path / ("x" * 300), "")

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_whole_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    with pytest.raises(OSError, match="No space left"), whole_directory(tmp_path / "folder"):
        pass
    assert path.read_text() == "é"
    monkeypatch.undo()
    with pytest.raises(ZeroDivisionError), whole_directory(tmp_path / "folder") as folder:
        (folder / "b").write_text("")
        raise ZeroDivisionError
    assert not (tmp_path / "folder").exists() and not list(tmp_path.glob("*.partial"))


def test_what_is_no_ordinary_file_is_not_replaced_and_a_link_is_not_followed(tmp_path):
    victim, link, pipe, folder = (tmp_path / name for name in ("victim", "link", "pipe", "folder"))
    victim.write_text("mine")
    link.symlink_to(victim)
    os.mkfifo(pipe)
    folder.mkdir()
    write_whole(link, "new")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("mine", "new", False)
    for path, said in ((pipe, "a pipe or a device"), (folder, "a directory"), (Path(os.devnull), "a pipe or a device")):
        with pytest.raises(OSError, match=said), whole_file(path):
            raise AssertionError("refused before anything is written")
    assert stat.S_ISFIFO(pipe.stat().st_mode) and not list(tmp_path.glob("*.partial"))


def killed(folder, calls):
    """Is killed as `calls` files or folders have been forced to the disk."""
    fsync, left = os.fsync, iter(range(calls))
    os.fsync = lambda number: fsync(number) if next(left, None) is not None else os.kill(os.getpid(), signal.SIGKILL)
    with whole_directory(folder) as partial:
        for name in "abc":
            (partial / name).write_text("new")


def test_a_folder_has_its_name_when_all_in_it_is_on_the_disk(tmp_path):
    """Whenever a kill comes before, the name is free for the next try."""
    for calls in range(5):
        folder = tmp_path / str(calls)
        process = multiprocessing.get_context("fork").Process(target=killed, args=(folder, calls))
        process.start()
        process.join(timeout=60)
        assert process.exitcode == -signal.SIGKILL
        assert folder.exists() == (calls == 4)
        if folder.exists():  # and its name was not yet forced to the disk
            assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "new", "b": "new", "c": "new"}
        else:
            make_way(folder, DataError)


def test_the_way_of_a_folder_is_made_or_refused_in_one_line(tmp_path):
    make_way(tmp_path / "a/b/folder", DataError)
    assert (tmp_path / "a/b").is_dir() and not list((tmp_path / "a/b").iterdir())
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("a", "file", "link"):
        with pytest.raises(DataError, match=f"{name} exists and is not overwritten. Choose another name."):
            make_way(tmp_path / name, DataError)
    with pytest.raises(DataError, match="file/folder cannot be written: Not a directory. Check the path, space and rights."):
        make_way(tmp_path / "file/folder", DataError)


def count(path, times):
    for _ in range(times):
        with alone_with(path):
            write_whole(path, str(int(path.read_text()) + 1))


def test_of_two_processes_that_change_a_file_none_loses_what_the_other_wrote(tmp_path):
    path = tmp_path / "number"
    path.write_text("0")
    processes = [multiprocessing.get_context("fork").Process(target=count, args=(path, 30)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0] and path.read_text() == "60"


def test_a_file_that_is_held_is_one_line(tmp_path):
    path = tmp_path / "a"
    with (
        alone_with(path),
        pytest.raises(RunDirError, match=r"a has been held by another process for 0 s\. Wait"),
        alone_with(path, seconds=0.0),
    ):
        pass
