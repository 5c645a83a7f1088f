"""The files of a run directory, as everything behind the training reads them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from neuralop_jax._checks import reason, shown_path
from neuralop_jax._json_schema import Count, Finite, check_json
from neuralop_jax._strict_json import numbers
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax.config import ExperimentConfig, from_json
from neuralop_jax.errors import RunDirError


class Errors(TypedDict):
    """The error of a split during a training."""

    relative_l2: float


class SplitErrors(Errors):
    """The errors of a split in `results.json`."""

    grid: Sequence[Count]
    count: Count
    relative_h1: float
    max_error: float
    accuracy: NotRequired[float]
    diverged: NotRequired[Count]
    spread: NotRequired[dict[str, float]]
    interval: NotRequired[dict[str, tuple[float, float]]]
    channels: NotRequired[dict[str, Sequence[float]]]


class Device(TypedDict):
    """Where a training ran."""

    platform: str
    kind: str
    count: Count


class Environment(TypedDict, total=False):
    """What `env.json` holds."""

    started: str
    versions: dict[str, str]
    system: str
    device: Device
    processor: str
    cores: Count | None
    x64: bool
    git: str | None
    git_changes: bool
    command: str
    data: str


class Line(TypedDict):
    """A line of `metrics.jsonl`: the means over an interval."""

    step: Count
    loss: float
    learning_rate: float
    gradient_norm: float
    skipped: NotRequired[Count]
    steps_per_second: float
    splits: NotRequired[dict[str, Errors]]


class Results(TypedDict, total=False):
    """What `results.json` holds; of a run that is not finished, `splits` at most."""

    command: str
    seed: Count
    parameters: Count
    steps: Count
    train_seconds: Finite
    compile_seconds: Finite
    splits: dict[str, SplitErrors]
    versions: dict[str, str]


def read_config(run: Path) -> ExperimentConfig:
    """The configuration of a run; `RunDirError` if `run` is not the directory of one."""
    if not os.path.isdir(run):
        raise RunDirError(
            f"no such run directory: {shown_path(run)} (looked in {Path.cwd()}). Train one with: neuralop-jax train CONFIG --out "
            f"{shown_path(run)}"
        )
    if not (run / "config.json").is_file():
        raise RunDirError(f"{run} is not a run directory: it has no config.json. Name the directory that train wrote.")
    return from_json(read_json(run / "config.json"), f"{run}/config.json")


def read_results(run: Path) -> dict[str, Any]:
    """The figures in `results.json`; empty if there are none yet."""
    return _read_checked(run / "results.json", Results)


def read_environment(run: Path) -> dict[str, Any]:
    """The surroundings in `env.json`; empty if there are none yet."""
    return _read_checked(run / "env.json", Environment)


def _read_checked(path: Path, schema: Any) -> dict[str, Any]:
    if not path.exists():
        return {}
    tree = numbers(read_json(path))
    try:
        check_json(schema, tree, "its table")
    except ValueError as error:
        raise RunDirError(f"{path} is damaged: {error}. Restore it, or train the run again.") from error
    return tree


def read_json(path: Path) -> dict[str, Any]:
    """The table in a JSON file of a run; `RunDirError` if it is damaged."""
    try:
        tree = parse_json(read_file(path))
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path} cannot be read: {reason(error)}. Restore it, or train the run again.") from error
    if not isinstance(tree, dict):
        raise RunDirError(
            f"{path} is damaged: wanted a table, found a {type(tree).__name__}. Restore it, or train the run again."
        )
    return tree
