"""A process that is killed while several train ends the others in one line, and the run resumes to the numbers of one that was not."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from small_problem import lines_of

CONFIG = """
[data]
path = "sines.h5"
input = ["a"]
target = ["v"]
batch_size = 8

[model]
kind = "deeponet"
width = 4
branch_hidden = [8]

[optimizer]
schedule = "constant"

[training]
steps = 40
log_every = 2
save_every = 4

[mesh]
data = 2
"""


def start(place, *words, processes=2):
    """The processes of `train run.toml`, with a device each, or one with all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        together = ["--coordinator", f"127.0.0.1:{probe.getsockname()[1]}", "--processes", str(processes)]
    flags = {"JAX_NUM_CPU_DEVICES": str(2 // processes), "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd()}
    words = [sys.executable, "-m", "neuralop_jax", "train", "run.toml", *words]
    each = [[*together, "--process", str(index)] for index in range(processes)] if processes > 1 else [[]]
    options = {"cwd": place, "env": os.environ | flags, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [subprocess.Popen([*words, *own], **options) for own in each]


@pytest.mark.timeout(600)
def test_f01_a_process_of_several_is_killed(tmp_path, count):
    """At once, not when JAX misses it after 100 seconds, which would end the others by SIGABRT."""
    a = np.random.default_rng(0).normal(size=(20, 8))
    with h5py.File(tmp_path / "sines.h5", "w") as file:
        file["a"], file["v"] = a, np.sin(a)
    (tmp_path / "run.toml").write_text(CONFIG)
    for victim in (1, 0)[: count(1, 2)]:
        run = tmp_path / f"killed_{victim}"
        both = start(tmp_path, "--out", run.name, "--training.steps", "1000000")
        try:
            while all(process.poll() is None for process in both) and len(lines_of(run)) < 5:
                time.sleep(0.05)
            both[victim].kill()
            began = time.monotonic()
            said = [process.communicate(timeout=60)[1] for process in both]
        finally:
            for process in both:
                process.kill()
        codes = [process.returncode for process in both]
        assert codes[victim] == -signal.SIGKILL and time.monotonic() - began < 60, said
        if victim == 1:
            line = r"process 0 of 2 cannot go on with the others: .*; with --resume the run goes on .*\n"
            assert codes[0] == 1 and re.fullmatch(line, said[0]), said
        else:  # JAX talks through the first process: whether it misses that before we do is chance
            assert codes[1] in (1, -signal.SIGABRT), said
        steps = lines_of(run)[-1]["step"] + 8
        for _ in range(count(0, 1)):
            for words in (["--out", run.name, "--resume"], ["--out", f"whole_{victim}"]):
                (alone,) = start(tmp_path, *words, "--training.steps", str(steps), processes=1)
                assert alone.wait(timeout=120) == 0, alone.communicate()
            found, wanted = (
                np.array([(line["step"], line["loss"]) for line in lines_of(each)])
                for each in (run, tmp_path / f"whole_{victim}")
            )
            assert found[-1, 0] == steps
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
