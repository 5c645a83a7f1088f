"""A disk that refuses a checkpoint: an error in the same interval, or a warning, and whole earlier steps in both cases."""

import contextlib
import errno
import os
import re
import shutil

import numpy as np
import pytest
from small_problem import logged

from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.errors import CheckpointError
from neuralop_jax.training import RunDirectory, _loop, fit


@pytest.fixture
def refused_saves(files_of_at_most, monkeypatch):
    """Lets the disk refuse the saves of these numbers, counted from 0."""
    save, numbers, left = CheckpointStore.save, [], iter(range(100))

    def refusing(self, *args):
        with files_of_at_most(600) if next(left) in numbers else contextlib.nullcontext():
            return save(self, *args)

    monkeypatch.setattr(CheckpointStore, "save", refusing)
    return numbers


def test_f06_a_full_disk_is_named_and_leaves_nothing_behind(files_of_at_most, tmp_path):
    with CheckpointStore(tmp_path, keep=1) as store:
        store.save(1, {"model": np.ones(10)}, {})
        large = {"model": np.random.default_rng(0).normal(size=200_000)}
        with files_of_at_most(100_000), pytest.raises(CheckpointError) as caught:
            store.save(2, large, {})
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / '2'} cannot be written (") and "\n" not in message
        assert re.search(r"it needs about 1,862,144 bytes, [\d,]+ are free\. Earlier steps are whole", message)
        assert [path.name for path in tmp_path.iterdir()] == ["1"]
        assert store.read(1)[1]["model"]["value"].tolist() == [1.0] * 10
        store.save(2, large, {})
        np.testing.assert_array_equal(store.read(2)[1]["model"]["value"], large["model"])
        assert store.steps() == [2]


def test_f06_a_full_disk_prints_nothing_but_its_error(files_of_at_most, tmp_path, capfd):
    """Trees of many leaves, of which the first that cannot be written finds others under way."""
    trees = {name: {str(k): np.random.default_rng(k).normal(size=5000) for k in range(12)} for name in ("model", "optimizer")}
    with CheckpointStore(tmp_path) as store:
        store.save(1, trees, {})
        for step, size in enumerate((100, 3000, 100_000), start=2):
            with files_of_at_most(size), pytest.raises(CheckpointError, match=r"cannot be written \("):
                store.save(step, trees, {})
        assert store.steps() == [1] and [path.name for path in tmp_path.iterdir()] == ["1"]
        np.testing.assert_array_equal(store.read(1)[1]["model"]["['3']"], trees["model"]["3"])
    assert capfd.readouterr() == ("", "")


def test_f06_what_a_late_write_left_of_a_failed_save_does_not_stop_the_next(tmp_path):
    with CheckpointStore(tmp_path) as store:
        (tmp_path / "2.partial" / "model").mkdir(parents=True)
        store.save(2, {"model": np.ones(10)}, {})
        assert store.steps() == [2] and [path.name for path in tmp_path.iterdir()] == ["2"]
        assert store.read(2)[1]["model"]["value"].tolist() == [1.0] * 10


def test_f06_a_disk_that_is_known_to_be_full_is_not_written_to(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    with CheckpointStore(tmp_path) as store:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=900_000))
        store.save(1, {"model": np.ones(50_000)}, {})
        monkeypatch.setattr(store._items, "save", None)
        with pytest.raises(CheckpointError, match="No space left on device.* needs about 1,062,144 bytes, 900,000 are free\\."):
            store.save(2, {"model": np.ones(100_000)}, {})


@pytest.mark.parametrize(("files", "said"), [(1000, r", but no inode: remove files of any size\."), (0, r"\.")])
def test_f06_a_disk_without_inodes_is_said_to_be_one(tmp_path, monkeypatch, files, said):
    """A file system that counts no files, as btrfs, gives 0 of 0."""
    usage, status = shutil.disk_usage(tmp_path), os.statvfs(tmp_path)
    numbers = [*status[:5], files, 0, 0, *status[8:]]
    with CheckpointStore(tmp_path) as store:

        def refuse(*args, **options):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=900_000))
        monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(numbers))
        monkeypatch.setattr(store._items, "save", refuse)
        with pytest.raises(CheckpointError, match=rf"needs about 262,224 bytes, 900,000 are free{said} Earlier steps are whole"):
            store.save(1, {"model": np.ones(10)}, {})
    assert not list(tmp_path.iterdir())


def test_f06_a_full_disk_stops_a_training_in_the_same_interval(unmeasured, configure, quiet, run, refused_saves):
    refused_saves.append(1)
    with pytest.raises(CheckpointError, match="8 cannot be written"):
        fit(configure(), run_dir=run, console=quiet)
    assert logged(run)[-1][0] == (8.0).hex()
    with CheckpointStore(run / "checkpoints", read_only=True) as store:
        assert store.steps() == [4]
    fit(configure(), run_dir=run, resume=True, console=quiet)
    fit(configure(), run_dir=run.with_name("b"), console=quiet)
    assert logged(run) == logged(run.with_name("b"))


def spoil_at(monkeypatch, step, spoil):
    """Calls `spoil` when the checkpoint of a step is about to be written."""
    save = _loop.save_snapshot

    def spoiled(store, config, experiment, state, progress):
        if progress.step == step:
            spoil(store.directory)
        save(store, config, experiment, state, progress)

    monkeypatch.setattr(_loop, "save_snapshot", spoiled)


def test_f06_a_directory_of_checkpoints_that_is_removed_is_made_again(unmeasured, configure, quiet, run, monkeypatch):
    spoil_at(monkeypatch, 8, shutil.rmtree)
    assert fit(configure(), run_dir=run, console=quiet).status == "finished"
    with CheckpointStore(run / "checkpoints", read_only=True) as store:
        assert store.steps() == [8, 12] and store.read(8)[0]["progress"]["rollbacks"] == 0


@pytest.mark.parametrize("choice", ["warn", "stop"])
def test_f06_a_directory_of_checkpoints_that_cannot_be_reached_costs_that_save(
    unmeasured, configure, quiet, run, monkeypatch, choice
):
    """A file has its place while step 8 is saved."""
    moved = run / "moved"

    def hide(directory):
        directory.rename(moved)
        directory.write_text("")

    spoil_at(monkeypatch, 8, hide)
    append = RunDirectory.append_metrics

    def append_and_bring_back(self, line):
        if line["step"] == 10:
            self.checkpoints.unlink()
            moved.rename(self.checkpoints)
        append(self, line)

    monkeypatch.setattr(RunDirectory, "append_metrics", append_and_bring_back)
    config = configure(training={"on_save_error": choice})
    if choice == "stop":
        with pytest.raises(CheckpointError, match=r"runs/a/checkpoints cannot be read \(NotADirectoryError: .*\)\. The"):
            fit(config, run_dir=run, console=quiet)
        return
    assert fit(config, run_dir=run, console=quiet).status == "finished"
    with CheckpointStore(run / "checkpoints", read_only=True) as store:
        assert store.steps() == [4, 12]
    assert "checkpoints cannot be read (NotADirectoryError: " in (run / "run.log").read_text()


def test_f06_with_warnings_a_training_goes_on_but_its_end_must_be_saved(unmeasured, configure, quiet, run, refused_saves):
    config = configure(training={"on_save_error": "warn"})
    refused_saves.append(1)
    assert fit(config, run_dir=run, console=quiet).status == "finished"
    with CheckpointStore(run / "checkpoints", read_only=True) as store:
        assert store.steps() == [4, 12]
    log = (run / "run.log").read_text()
    assert "8 cannot be written (" in log and "Training goes on and tries again at the next checkpoint." in log
    refused_saves[:] = range(3, 9)
    with pytest.raises(CheckpointError, match="12 cannot be written"):
        fit(config, run_dir=run.with_name("b"), console=quiet)
    assert not (run.with_name("b") / "DONE").exists()
