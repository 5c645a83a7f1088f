"""A run directory as the verbs see it: its configuration, its figures, and the table they print."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuralop_jax._run_files import read_config as read_config, read_results as read_results
from neuralop_jax.cli._console import say, show_table
from neuralop_jax.errors import RunDirError


def merge_results(run: Path, splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds the figures of `splits` to `results.json`, replacing those of the same names, in one step."""
    results = read_results(run)
    results["splits"] = {**results.get("splits", {}), **splits}
    partial = run / f".results.json.{os.getpid()}.partial"
    try:
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, run / "results.json")
    except OSError as error:
        raise RunDirError(f"{run}/results.json cannot be written: {error.strerror}. Check space and rights.") from error
    finally:
        partial.unlink(missing_ok=True)


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
