"""`uncertainty RUN …`: bands around the predictions of one or several trained operators, and how often the truth is in them."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from neuralop_jax._checks import did_you_mean
from neuralop_jax._run_files import read_config
from neuralop_jax.cli._console import say, show_table
from neuralop_jax.cli._json_file import json_file
from neuralop_jax.cli._run import check_dimension, data_of, show_errors, write_json
from neuralop_jax.config import ExperimentConfig, config_difference
from neuralop_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class EveryOther:
    """Every second sample of a dataset, from the one numbered `start`."""

    dataset: Any
    start: int

    @property
    def grid(self) -> Any:
        return self.dataset.grid

    def __len__(self) -> int:
        return len(range(self.start, len(self.dataset), 2))

    def __getitem__(self, index: int, /) -> Any:
        return self.dataset[range(self.start, len(self.dataset), 2)[index]]


def uncertainty(
    runs: Positional[tuple[Path, ...]],
    *,
    data: Path | None = None,
    split: str = "",
    alpha: float = 0.1,
    pointwise: bool = False,
    scaled: bool = False,
    json: Path | None = None,
) -> None:
    """Measure bands that contain the true function with a chosen probability, by split conformal prediction.

    Runs of one configuration with several seeds, such as sweep makes, become an ensemble: its mean is the prediction. Half of a
    held-out split, every second sample, sets the width of the bands; the others tell how often the truth is inside.

    Args:
        runs: One run directory, or several that differ in the seed alone.
        data: Another file than that of the training, with the same fields. Of other samples, any split may be named.
        split: The held-out split; the first one if left out.
        alpha: The chance to be outside, 0.1 for bands that hold with 90 %.
        pointwise: Bands that hold at each point by itself, instead of for the whole function at once.
        scaled: Bands that are wide where the members of an ensemble disagree; of fewer than five or so that is mostly chance.
        json: File to write the figures to.
    """
    if scaled and len(runs) < 2:
        raise ConfigError(
            f"--scaled takes the disagreement of several runs, got {len(runs)}. Name more of them, or leave it out."
        )
    if not runs:
        raise ConfigError("uncertainty needs at least one run directory, got none. Name runs of one configuration.")
    file = json_file(json)
    source = data_of(_one_configuration(runs), data)

    from neuralop_jax import checkpoint, evaluation, models
    from neuralop_jax.data import read_info
    from neuralop_jax.training._setup import open_split

    known = read_info(source.path, (*source.input, *source.target), num_dims=source.num_dims).splits
    held_out = [name for name in known if name != source.train_split]
    name, allowed = split or next(iter(held_out), ""), held_out if data is None else list(known)
    if not name and allowed:
        raise ConfigError(
            f"{source.path} has no split but {source.train_split!r}. If its samples were not trained on, name it: "
            f"--split {source.train_split}"
        )
    if name not in allowed:
        raise ConfigError(
            f"--split {split!r}: the held-out splits of {source.path} are {', '.join(allowed) or 'none'}."
            f"{did_you_mean(name, allowed) or ' Name one of them, never the one that was trained on.'}"
        )
    check_dimension(source.path, [known[name].grid], checkpoint.load_info(runs[0]))
    dataset = open_split(source, name)
    members = [models.on_times(checkpoint.load(run), dataset.times) for run in runs]
    operator = models.Ensemble.joined(members) if len(members) > 1 else members[0]
    calibration, measured = EveryOther(dataset, 0), EveryOther(dataset, 1)
    bands = evaluation.conformal_bands(
        operator,
        calibration,
        alpha=alpha,
        kind="pointwise" if pointwise else "function",
        scaled=scaled,
        batch_size=source.batch_size,
    )
    named = dict(zip(_labels(runs), members, strict=True))
    named |= {"ensemble": operator} if len(members) > 1 else {}
    errors = {label: evaluation.evaluate(each, measured, batch_size=source.batch_size) for label, each in named.items()}
    found = evaluation.coverage(bands, measured, batch_size=source.batch_size)
    show_errors(errors, title=f"every second sample of {name}")
    rows = [
        (output, f"{functions:.3f}", f"{points:.3f}", f"{width:.4g}")
        for output, functions, points, width in zip(
            source.target, *(found[key] for key in ("functions", "points", "width")), strict=True
        )
    ]
    wanted = f"{1 - alpha:.3g} wanted of {'points' if pointwise else 'functions'}"
    show_table(("output", ">functions inside", ">points inside", ">mean width"), rows, title=f"bands, {wanted}")
    if file is not None:
        coverage = {"alpha": alpha, "kind": "pointwise" if pointwise else "function", "calibration": len(calibration), **found}
        write_json(file, {"split": name, "errors": errors, "coverage": coverage})
        say(f"Written to {json}.")


def _one_configuration(runs: Sequence[Path]) -> ExperimentConfig:
    """The configuration of the first run; `ConfigError` if another differs in more than the seed, or not even in that."""
    configs = {run: read_config(run) for run in runs}
    first, seeds = configs[runs[0]], {}
    for run in runs:
        seed = configs[run].seed
        if changes := config_difference(first, dataclasses.replace(configs[run], seed=first.seed)):
            raise ConfigError(
                f"{run} differs from {runs[0]} in more than the seed: {changes[0]}. Name runs of one configuration."
            )
        if seed in seeds:
            raise ConfigError(f"{run} has the seed {seed} of {seeds[seed]}: one network twice. Name runs of several seeds.")
        seeds[seed] = run
    return first


def _labels(runs: Sequence[Path]) -> list[str]:
    """The names of the runs; paths instead of names that several have, or their ensemble."""
    names = [Path(os.path.abspath(run)).name for run in runs]
    taken = [*names, "ensemble"]
    paths = [str(run) if len(run.parts) > 1 else f"./{run}" for run in runs]
    return [name if taken.count(name) == 1 else path for name, path in zip(names, paths, strict=True)]
