"""A run directory as the verbs see it: its configuration, its figures, and the table they print."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuralop_jax._run_files import read_results
from neuralop_jax._strict_json import strict
from neuralop_jax._whole_files import alone_with, write_whole
from neuralop_jax.cli._console import say, show_table
from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.errors import DataError, RunDirError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo


def data_of(config: ExperimentConfig, file: Path | None) -> DataConfig:
    """The data of a training, in another file if one is named.

    **Raises:** `DataError` if none is named and that of the training is gone.
    """
    if file is None and not Path(config.data.path).exists():
        raise DataError(
            f"no such file: {config.data.path} (looked in {Path.cwd()}), which the operator was trained on. Say where it is now, "
            f"or name other data: --data FILE."
        )
    return config.data if file is None else dataclasses.replace(config.data, path=str(file))


def check_dimension(file: str, grids: Iterable[Grid], trained: DatasetInfo | None) -> None:
    """Raises `DataError` unless fields of a file have as many space axes as those of the training, where these are known."""
    wanted = {split.grid.num_dims for split in trained.splits.values()} if trained else set()
    for found in {grid.num_dims for grid in grids} - wanted if wanted else ():
        raise DataError(
            f"{file} has fields on {found}-D grids, the operator was trained on {min(wanted)}-D ones. Name data like those."
        )


def merge_results(run: Path, splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds the figures of `splits` to `results.json`, replacing those of the same names, in one step."""
    with alone_with(run / "results.json"):
        results = read_results(run)
        results["splits"] = {**results.get("splits", {}), **splits}
        write_json(run / "results.json", results)


def show_errors(splits: Mapping[str, Mapping[str, Any]], *, title: str = "") -> None:
    """Prints the table of errors, one row per split."""
    named = {"relative_l2": ">relative L2", "relative_h1": ">relative H1", "max_error": ">largest error"}
    if all("accuracy" in split for split in splits.values()):
        named = {"accuracy": ">accuracy"}  # of classes, errors of the logits say nothing
    if all("num_evaluations" in split for split in splits.values()):
        named["num_evaluations"] = ">evaluations"
    rows = [
        (name, " x ".join(map(str, s["grid"])), s["count"], *(f"{s[key]:.4g}" for key in named)) for name, s in splits.items()
    ]
    show_table(("split", "grid", ">samples", *named.values()), rows, title=title)
    for name, split in splits.items():
        if "diverged" in split:
            say(f"{name}: {split['diverged']} of {split['count']} samples diverged; they are in none of the means.")


def show_analyses(analyses: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the errors by band of each split, and of trajectories how long they are followed and what they keep."""
    for name, found in analyses.items():
        low, high = found["bands"]["edges"]
        bands = (f"{value:.3g}" for value in found["bands"]["relative_l2"])
        labels = (f"below {low}", f"{low} to {high - 1}", f"from {high}")
        parts = ", ".join(f"{value} ({label})" for label, value in zip(labels, bands, strict=True))
        say(f"{name}: relative L2 error by waves per longest side: {parts}.")
        if rollout := found.get("rollout"):
            last = rollout["times"][-1]
            say(
                f"{name}: correlation above 0.8 until {rollout['correlation_time']:.3g}, error below 0.4 until "
                f"{rollout['valid_prediction_time']:.3g}, of {last:.3g}; in the last frame correlation "
                f"{rollout['correlation'][-1]:.3g}, mass error {rollout['mass_error'][-1]:.2g}, energy error "
                f"{rollout['energy_error'][-1]:.2g}."
            )


def write_json(path: Path, tree: Mapping[str, Any] | Sequence[Any], *, indent: int = 2) -> None:
    """Writes a table or a list in one step."""
    try:
        write_whole(path, json.dumps(strict(tree), indent=indent) + "\n")
    except OSError as error:
        raise RunDirError(f"{path} cannot be written: {error.strerror}. Check space and rights.") from error
