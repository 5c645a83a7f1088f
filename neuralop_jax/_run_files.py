"""The files of a run directory, as everything behind the training reads them."""

import json
from pathlib import Path
from typing import Any

from neuralop_jax._strict_json import numbers
from neuralop_jax.config import ExperimentConfig, from_json
from neuralop_jax.errors import RunDirError


def read_config(run: Path) -> ExperimentConfig:
    """The configuration of a run; `RunDirError` if `run` is not the directory of one."""
    if not run.is_dir():
        raise RunDirError(
            f"no such run directory: {run} (looked in {Path.cwd()}). Train one with: neuralop-jax train CONFIG --out {run}"
        )
    if not (run / "config.json").is_file():
        raise RunDirError(f"{run} is not a run directory: it has no config.json. Name the directory that train wrote.")
    return from_json(read_json(run / "config.json"), f"{run}/config.json")


def read_results(run: Path) -> dict[str, Any]:
    """The figures in `results.json`; empty if there are none yet."""
    return numbers(read_json(run / "results.json")) if (run / "results.json").exists() else {}


def read_json(path: Path) -> dict[str, Any]:
    """The table in a JSON file of a run; `RunDirError` if it is damaged."""
    if path.exists() and not path.is_file():
        raise RunDirError(f"{path} is no file. Restore it, or train the run again.")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirError(f"{path} cannot be read: {error}. Restore it, or train the run again.") from error
    if not isinstance(tree, dict):
        raise RunDirError(
            f"{path} is damaged: wanted a table, found a {type(tree).__name__}. Restore it, or train the run again."
        )
    return tree
