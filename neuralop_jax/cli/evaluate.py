"""`evaluate RUN`: the errors of a trained operator on held-out data, also on other grids than it was trained on."""

import dataclasses
import math
import shlex
from pathlib import Path

from tyro.conf import Positional

from neuralop_jax._checks import did_you_mean
from neuralop_jax._run_files import read_config, read_results
from neuralop_jax.cli._certificate import store_certificate
from neuralop_jax.cli._console import say
from neuralop_jax.cli._run import check_dimension, data_of, merge_results, show_analyses, show_errors
from neuralop_jax.errors import ConfigError, DataError


def evaluate(
    run: Positional[Path],
    *,
    data: Path | None = None,
    resolution: str = "",
    split: str = "",
    frames: str = "",
    analyze: bool = False,
    certify: bool = False,
) -> None:
    """Measure the errors of a trained operator on held-out data and add them to RUN/results.json.

    Args:
        run: The run directory.
        data: Another file than that of the training, with the same fields: moved, or other samples. Its errors are stored as
            those of SPLIT of FILE, and are in no leaderboard.
        resolution: Points per axis, such as 16,32 or 64x32. Taken from splits with that grid, or from every k-th point of a finer
            one, which is said; never interpolated. Every split on its own grid if left out.
        split: Names of splits, separated by commas; all but the training split if left out.
        frames: Frames of the target to compare, a range such as 1::2, for operators that make trajectories; those of the training
            if left out.
        analyze: Also measure errors by band of wavenumbers, spectra and, of trajectories, correlation and valid prediction time,
            mass and energy.
        certify: Also test the operator on grids of half to four times the points, odd and unequal ones, on the finest split; adds
            RUN/certificate.json, which the report shows.
    """
    config = read_config(run)
    read_results(run)  # whose damage is said before the work

    from neuralop_jax import checkpoint, evaluation, models
    from neuralop_jax.cli._held_out import Subsampled, on_grid, parse_resolutions
    from neuralop_jax.data import read_info
    from neuralop_jax.training._setup import open_split

    source = data_of(config, data)
    known = read_info(source.path, (*source.input, *source.target), num_dims=source.num_dims).splits
    names = [name.strip() for name in split.split(",")] if split else [name for name in known if name != source.train_split]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or " Name some of them, separated by commas."
            raise ConfigError(f"--split {split!r}: {source.path} has no split {name!r}. Found: {', '.join(known)}.{hint}")
    if not names:
        raise DataError(f"{source.path} has no split but {source.train_split!r}. Add a held-out split, or name one with --split.")
    grids = {name: known[name].grid for name in names}
    info = checkpoint.load_info(run)
    check_dimension(source.path, grids.values(), info)
    chosen = [(name, (1,) * grids[name].num_dims) for name in names]
    if resolution:
        shapes = parse_resolutions(resolution, grids[names[0]].num_dims)
        chosen = [pair for shape in shapes for pair in on_grid(grids, shape).items()]
    operator = checkpoint.load(run)
    if frames:
        source = dataclasses.replace(source, target_time=frames)
        operator = models.at_times(operator, open_split(source, names[0]).times)  # which refuses other operators
    if not (resolution or split):  # what is asked for by name is refused by the operator
        refused = {name: reason for name, _ in chosen if (reason := models.refused_grid(operator, grids[name].shape))}
        chosen = [pair for pair in chosen if pair[0] not in refused]
        for name, reason in refused.items():
            say(f"{name} is left out: {reason}.")
    origin = "" if data is None else f" of {data}"
    results, analyses = {}, {}
    for name, strides in chosen:
        dataset = open_split(source, name)
        times = dataset.times
        label = name + origin + (f" frames {frames}" if frames else "")
        if any(stride > 1 for stride in strides):
            dataset = Subsampled(dataset, strides)
            shape = "x".join(map(str, dataset.grid.shape))
            label = f"{label}@{shape}"
            say(f"{label}: no split has the grid {shape}; it is {name} at strides {'x'.join(map(str, strides))}.")
        if (kept := models.clipped_modes(operator, dataset.grid.shape)) is not None:
            say(f"{label}: this grid holds {'x'.join(map(str, kept))} of the modes; the others do nothing here.")
        measured = models.on_times(operator, times)
        results[label] = evaluation.evaluate(measured, dataset, batch_size=source.batch_size)
        if data is not None:
            results[label]["data"] = str(data)
        if analyze:
            analyses[label] = evaluation.analyze(measured, dataset, times=times, batch_size=source.batch_size)
            results[label]["analysis"] = analyses[label]
        if frames:
            results[label]["frames"] = frames
    show_errors(results)
    show_analyses(analyses)
    merge_results(run, results)
    say(f"Added to {run / 'results.json'}.")
    if certify:
        finest = max(names, key=lambda name: math.prod(grids[name].shape))
        dataset = open_split(source, finest)
        trained = (info.splits if info else known).get(source.train_split)
        trained_on = trained.grid.shape if trained else None
        measured = models.on_times(operator, dataset.times)
        certificate = evaluation.certify(measured, dataset, trained_on=trained_on, batch_size=source.batch_size)
        store_certificate(run, finest + origin, certificate)
        say(f"Written to {run / 'certificate.json'}; the report shows it: neuralop-jax report {shlex.quote(str(run))}")
