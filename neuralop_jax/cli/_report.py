"""A run as one HTML page: its files, and its newest operator applied to the held-out data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from neuralop_jax import checkpoint, evaluation, models, viz
from neuralop_jax._checks import shown
from neuralop_jax._frames import frames
from neuralop_jax._json_schema import check_json
from neuralop_jax._run_files import Line, read_config, read_environment, read_results
from neuralop_jax._strict_json import numbers
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax._whole_files import write_whole
from neuralop_jax.cli._certificate import read_certificate
from neuralop_jax.cli._console import say
from neuralop_jax.cli._report_facts import RunReport, Shown, SplitReport
from neuralop_jax.cli._report_page import render
from neuralop_jax.cli._run import data_of
from neuralop_jax.config import DataConfig
from neuralop_jax.data import Sample, read_info
from neuralop_jax.errors import NeuralOpError, RunDirError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo
from neuralop_jax.models import AbstractOperator
from neuralop_jax.training._setup import open_split

_MOST_SAMPLES = 500
"""Samples of a split that are predicted for the report."""


def write_report(run_dir: str | Path, data: Path | None = None) -> Path:
    """Writes `report.html` into a run directory, in one step: one page that needs no other file and no network.

    Errors, curves, pictures of the median and the worst sample of each held-out split, spectra, the model, the environment and
    the command. Of a run that was interrupted it shows what there is, and says what is missing.

    **Arguments:**

    - `run_dir`: the directory of a run.
    - `data`: the file of its data, if that moved.

    **Returns:** the path of the page.

    **Raises:** `RunDirError` if `run_dir` is not the directory of a run or cannot be written.
    """
    run = Path(run_dir)
    report = _gather(run, data)
    path = run / "report.html"
    try:
        write_whole(path, render(report))
    except OSError as error:
        raise RunDirError(f"{path} cannot be written: {error.strerror}. Check space and rights.") from error
    return path


def _gather(run: Path, file: Path | None) -> RunReport:
    config, results, environment = read_config(run), read_results(run), read_environment(run)
    metrics, notes = tuple(_lines(run / "metrics.jsonl")), []
    finished = (run / "DONE").exists()
    if not finished:
        done = f"at step {metrics[-1]['step']} of {config.training.steps}" if metrics else "before its first log line"
        notes.append(f"This training is not finished: it stands {done}. The errors below are those of its newest checkpoint.")
    operator, info, splits = None, None, {}
    try:
        operator, known = checkpoint.load(run), checkpoint.load_info(run)
        _check_data(known, config.data, run)
        info, data = known, data_of(config, file)
        for name, grid in _held_out(data).items():
            if reason := models.refused_grid(operator, grid.shape):
                notes.append(f"{name} is left out: {reason}.")
            else:
                splits[name] = _split_report(data, name, operator)
    except NeuralOpError as error:
        notes.append(f"Pictures and spectra are missing: {error}")
        say(notes[-1])
    return RunReport(
        name=run.resolve().name,
        finished=finished,
        config=config,
        results=results,
        environment=environment,
        metrics=metrics,
        info=info,
        spec=models.spec_of(operator) if operator else {"kind": config.model.kind, **config.model.options},
        parameters=models.count_parameters(operator) if operator else 0,
        input=_labels(info, config.data, config.data.input, config.data.input_time),
        output=_labels(info, config.data, config.data.target, config.data.target_time),
        splits=splits,
        certificate=read_certificate(run),
        notes=tuple(notes),
    )


def _held_out(data: DataConfig) -> dict[str, Grid]:
    """The splits that the report shows, and their grids: all but that of the training, or that one if it is alone."""
    known = read_info(data.path, (*data.input, *data.target), num_dims=data.num_dims).splits
    grids = {name: split.grid for name, split in known.items()}
    return {name: grid for name, grid in grids.items() if name != data.train_split} or grids


def _split_report(config: DataConfig, name: str, operator: AbstractOperator) -> SplitReport:
    split = open_split(config, name)
    count = min(len(split), _MOST_SAMPLES)
    operator = models.on_times(operator, split.times)
    samples = [split[index] for index in range(count)]
    batch = Sample({"u": np.stack([s.inputs["u"] for s in samples])}, np.stack([s.target for s in samples]))
    whole = batch if count == len(split) else split
    measured = evaluation.sample_errors(operator, batch, grid=split.grid, batch_size=config.batch_size)
    errors = evaluation.evaluate(operator, whole, grid=split.grid, batch_size=config.batch_size)
    order = np.argsort(measured["relative_l2"])
    chosen = {"median": order[(count - 1) // 2], "worst": order[-1]}
    predict = eqx.filter_jit(lambda operator, u: operator(u))
    shown = tuple(
        Shown(
            f"{rank} sample (number {index}, relative L2 error {measured['relative_l2'][index]:.3g})",
            samples[index].inputs["u"],
            samples[index].target,
            np.asarray(predict(operator, jnp.asarray(samples[index].inputs["u"]))),
        )
        for rank, index in chosen.items()
    )
    spectra = evaluation.analyze(operator, batch, grid=split.grid, batch_size=config.batch_size)["spectra"]
    return SplitReport(split.grid, len(split), errors, measured["relative_l2"], shown, spectra)


def _check_data(info: DatasetInfo | None, data: DataConfig, run: Path) -> None:
    """Raises `RunDirError` unless the data of the configuration are those that the checkpoint knows."""
    if info is None:
        return
    unknown = {*data.input, *data.target} - {field.name for field in info.fields} | {data.train_split} - info.splits.keys()
    if unknown:
        raise RunDirError(f"{run}/config.json names {shown(min(unknown))}, which the data of its checkpoint do not have.")


def _labels(info: DatasetInfo | None, data: DataConfig, names: tuple[str, ...], time: str) -> tuple[viz.Label, ...]:
    """The name and the unit of every channel, in the order in which `HDF5Dataset` stacks frames and components."""
    if info is None:
        return ()
    split = info.splits[data.train_split]
    labels = []
    for field in map(info.field, names):
        moments = [""]
        if field.time_varying:
            unit = "" if split.time_unit == "1" else f" {split.time_unit}"
            moments = [f", t = {value:.4g}{unit}" for value in split.times[frames(time)]]
        components = [""] if field.channels == 1 else [f" {c}" for c in range(field.channels)]
        labels += [viz.Label(f"{field.name}{component}{moment}", field.unit) for moment in moments for component in components]
    return tuple(labels)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of `metrics.jsonl` that are whole."""
    for text in read_file(path).splitlines() if path.exists() else ():
        try:
            line = numbers(parse_json(text))
            check_json(Line, line, "line")
        except ValueError:
            return
        yield line
