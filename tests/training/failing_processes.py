"""One of two processes of trainings that fail in one of them: prints, as JSON, what each raises, and after how many seconds."""

import json
import os
import sys
import time
from pathlib import Path

import jax
from rich.console import Console

from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.cli._processes import join
from neuralop_jax.config import load_config
from neuralop_jax.errors import CheckpointError
from neuralop_jax.training import fit, follow


def refuse(*_):
    raise CheckpointError("the disk is full. " + "x" * 1000 + "\nmore")


def outcome(run, *words):
    start = time.perf_counter()
    try:
        config = load_config("run.toml", words)
        if jax.process_index() == 0:
            fit(config, run_dir=run, console=Console(quiet=True))
        else:
            follow(config)
    except Exception as error:
        return {"kind": type(error).__name__, "said": str(error), "seconds": time.perf_counter() - start}
    return {"kind": "", "said": "", "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    process, port, place = int(sys.argv[1]), sys.argv[2], Path.cwd()
    join(f"127.0.0.1:{port}", 2, process)
    found = {}
    for missing in (1, 0):
        os.chdir(place if process != missing else place / "elsewhere")
        found[f"data are not there for {missing}"] = outcome(place / f"runs/missing_{missing}")
    os.chdir(place if process == 0 else place / "other")
    found["other data"] = outcome(place / "runs/other")
    os.chdir(place)
    found["in use"] = outcome(place / "elsewhere")
    CheckpointStore.save = refuse
    found["disk full"] = outcome(place / "runs/full", "--training.steps", "4")
    print(json.dumps(found))
