"""SIGKILL while checkpoints are written and while they are deleted."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from small_problem import logged

from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.training import fit

NURSERY = r"""
import itertools, os, signal, sys, time
import numpy as np
import orbax.checkpoint  # once: its forked children start at once
from neuralop_jax._checkpoint_store import CheckpointStore

directory, keep, slow = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def save_for_ever():
    if slow:  # most of the time is spent on deleting
        unlink = os.unlink
        os.unlink = lambda *args, **options: (time.sleep(slow), unlink(*args, **options))
    with CheckpointStore(directory, keep=keep) as store:
        for step in itertools.count(max(store.steps(), default=0) + 1):
            store.save(step, {"model": np.full(200_000, float(step))}, {"step": step})
            os.write(1, b"%d\n" % step)  # in one piece, or a kill may cut it in two

for line in sys.stdin:
    child = os.fork()
    if not child:
        save_for_ever()
    time.sleep(float(line))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


def kill_again_and_again(directory, times, keep, slow):
    """Kills a process that saves, at random times; after each kill every listed step must be whole and nothing acknowledged lost."""
    rng, acknowledged, half_done = np.random.default_rng(0), 0, 0
    words = [sys.executable, "-W", "ignore", "-c", NURSERY, str(directory), str(keep), str(slow)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        for _ in range(times):
            nursery.stdin.write(f"{rng.uniform(0.5, 1.2)}\n")
            nursery.stdin.flush()
            for line in iter(nursery.stdout.readline, "killed\n"):
                assert line, "the nursery died"
                acknowledged = int(line)
            with CheckpointStore(directory, read_only=True) as store:
                steps = store.steps()
                assert steps and steps[-1] >= acknowledged
                for step in steps:
                    record, arrays = store.read(step)
                    assert record == {"step": step} and np.all(arrays["model"]["value"] == step)
            half_done += {path.name for path in directory.iterdir()} != set(map(str, steps))
        nursery.stdin.close()
    return acknowledged, half_done


def test_f01_killed_while_a_checkpoint_is_written(tmp_path, count):
    directory, times = tmp_path / "store", count(3, 200)
    directory.mkdir()
    acknowledged, half_done = kill_again_and_again(directory, times, keep=2, slow=0)
    print(
        f"{times} of {times} SIGKILLs during saves resumable, {acknowledged} checkpoints; {half_done} kills left something half done"
    )
    assert acknowledged > times
    with CheckpointStore(directory) as store:
        last = store.steps()[-1]
        assert {path.name for path in directory.iterdir()} == set(map(str, store.steps()))
        store.save(last + 1, {"model": np.full(200_000, last + 1.0)}, {"step": last + 1})


def test_f01_the_next_start_uses_the_newest_whole_step_removes_the_rest_and_logs_both(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    wanted, checkpoints = logged(run), run / "checkpoints"
    shutil.move(checkpoints / "12", checkpoints / "12.partial")
    (checkpoints / "12.partial" / "meta.json").unlink()
    shutil.copytree(checkpoints / "8" / "model", checkpoints / "4.orbax-checkpoint-tmp-7" / "model")
    fit(configure(), run_dir=run, resume=True, console=quiet)
    log = (run / "run.log").read_text()
    assert "removed what an interrupted save had left: 12.partial, 4.orbax-checkpoint-tmp-7" in log
    assert "training from step 8 to 12" in log and logged(run) == wanted
    assert {path.name for path in checkpoints.iterdir()} == {"8", "12"}


@pytest.mark.parametrize("keep", [1])
def test_f02_killed_while_a_checkpoint_is_deleted(tmp_path, count, keep):
    directory, times = tmp_path / "store", count(3, 50)
    directory.mkdir()
    _, half_done = kill_again_and_again(directory, times, keep, slow=0.03)
    print(f"{times} SIGKILLs, {half_done} of them in the midst of a deletion or save: every listed step loadable")
    assert half_done
    (directory / "7.partial").mkdir(exist_ok=True)  # the last kill may have come between two of them
    left = {path.name for path in directory.iterdir() if not path.name.isdigit() and path.name != "trash"}
    left |= {f"trash/{path.name}" for path in directory.glob("trash/*")}
    with CheckpointStore(directory) as store:
        assert set(store.cleaned) == left
        assert {path.name for path in directory.iterdir()} == set(map(str, store.steps()))
