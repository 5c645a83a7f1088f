"""A whole training: its directory, its data, the loop around its steps, what it does when it diverges, and its results."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
from rich.console import Console

from neuralop_jax import models
from neuralop_jax._spared_output import spared
from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.errors import ConfigError, TrainingDiverged
from neuralop_jax.models import Normalized
from neuralop_jax.training._agreement import prepared_by_all
from neuralop_jax.training._display import ProgressDisplay, plain_console
from neuralop_jax.training._divergence import MOST_ROLLBACKS, retried
from neuralop_jax.training._environment import environment
from neuralop_jax.training._loggers import Logger, Loggers, logger_makers
from neuralop_jax.training._loop import Answer, Asked, Loop, made
from neuralop_jax.training._memory import memory_errors
from neuralop_jax.training._optimizers import make_schedule
from neuralop_jax.training._processes import leading
from neuralop_jax.training._run_directory import RunDirectory
from neuralop_jax.training._setup import prepare
from neuralop_jax.training._snapshot import read_snapshot, restore_snapshot
from neuralop_jax.training._stopping import StopRequest


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a training came to.

    - `operator`: the trained operator in physical units, with averaged weights if there are any.
    - `status`: `"finished"`; `"stopped_early"` by the error of a split; `"stopped"` by a request, to be resumed.
    - `results`: what `results.json` holds; `None` if stopped by a request.
    """

    operator: Normalized
    status: Literal["finished", "stopped_early", "stopped"]
    results: dict[str, Any] | None


Training = Generator[Asked, Answer, FitResult]
"""A training that asks for its intervals, see `Loop`."""


def fit(
    config: ExperimentConfig,
    *,
    run_dir: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    force: bool = False,
    stop: StopRequest | None = None,
    console: Console | None = None,
    loggers: Mapping[str, Logger] | None = None,
    command: str = "",
) -> FitResult:
    """Trains as a configuration says and leaves everything in a run directory.

    A run that was killed continues, with `resume=True`, from its newest whole checkpoint with the same batches and the same
    numbers, bit for bit on the same machine and versions; on another number of devices up to round-off. Ctrl-C ends the interval
    that runs and saves before it is raised; every exception that leaves a whole interval behind saves it.

    Of several processes that `jax.distributed` joined, the first calls this and the others `follow`, all with one configuration.

    **Arguments:**

    - `config`: the experiment, for instance from `load_config`.
    - `run_dir`: a directory that is empty or not there, or with `resume` that of a run.
    - `resume`: continue. Lengths, intervals, loggers, devices and what to do about failures may have changed since.
    - `overwrite`: move a run that is there to a new name beside it, and train anew.
    - `force`: resume with another configuration, as long as all arrays fit.
    - `stop`: a request made on it ends the training after the interval that runs, with a checkpoint.
    - `console`: where progress is shown; standard output by default, `rich.console.Console(quiet=True)` for nowhere.
        What cannot be written there is lost, and `run.log` says so.
    - `loggers`: by name, further places for the lines of `metrics.jsonl`. One that raises is left out, with a warning.
    - `command`: what repeats this run on a command line, for its records; that of the process by default.

    **Returns:** a `FitResult`.

    **Raises:** `RunDirError`, `ConfigError`, `DataError` before anything is written; `TrainingDiverged` if the loss or the
    gradient is not finite, or too large, and `config` knows no way on, with the last good checkpoint in place;
    `OutOfMemoryError`, likewise; `CheckpointError` if one cannot be written or read; `ProcessError` and `ProcessLost` as of
    `follow`.
    """
    run = training_of(
        config,
        run_dir=run_dir,
        resume=resume,
        overwrite=overwrite,
        force=force,
        stop=stop or StopRequest(),
        console=console or plain_console(),
        loggers=loggers or {},
        command=command,
    )
    with contextlib.closing(run):
        try:
            asked = next(run)
            while True:
                asked = go_on(run, functools.partial(made, *asked))
        except StopIteration as end:
            return end.value


def go_on(training: Training, make: Callable[[], Answer]) -> Asked:
    """Gives a training what it asked for, or the error that came instead; what it asks for next."""
    try:
        answer = make()
    except BaseException as error:
        return training.throw(error)
    return training.send(answer)


def training_of(
    config: ExperimentConfig,
    *,
    run_dir: str | Path,
    resume: bool,
    stop: StopRequest,
    console: Console,
    overwrite: bool = False,
    force: bool = False,
    loggers: Mapping[str, Logger] | None = None,
    command: str = "",
) -> Training:
    """What `fit` runs, with the same arguments."""
    with contextlib.ExitStack() as stack:
        with prepared_by_all(config) as read:
            run = stack.enter_context(RunDirectory(run_dir, resume=resume, overwrite=overwrite))
            console = spared(console, run.log)
            changes = run.check_config(config, force=force)
            makers = logger_makers(config.training.loggers, run.path, loggers or {})
            with memory_errors(config, run.checkpoints):
                experiment = prepare(config)
            read |= experiment.fingerprints()
        shared = stack.enter_context(leading(stop))
        stack.enter_context(memory_errors(config, run.checkpoints))
        if (aside := run.open(config)) is not None:
            console.print(f"The run that was in {run.path} is now in {aside}.")
        report = lambda line: (run.log(line), console.print(line))[0]
        store = stack.enter_context(CheckpointStore(run.checkpoints, keep=config.training.keep))
        if store.cleaned:
            report(f"removed what an interrupted save had left: {', '.join(store.cleaned)}")
        for line in (*(f"resumed with {change}" for change in changes), *experiment.left_out):
            report(line)
        surroundings = {**environment(), "data": experiment.train.fingerprint}
        surroundings["command"] = command or surroundings["command"]
        more = stack.enter_context(Loggers(makers, report))

        snapshot, goodput = read_snapshot(store, warn=report), None
        if snapshot and snapshot.step > config.training.steps:
            raise ConfigError(
                f"{run.path} has trained {snapshot.step} steps, more than training.steps, got {config.training.steps}. Use "
                f"--training.steps {snapshot.step} or more, or train in another directory with --out."
            )
        rollbacks = snapshot.rollbacks if snapshot else 0
        if rollbacks and jax.process_count() > 1:
            raise ConfigError(
                f"{run.path} went back {rollbacks} times, which one process alone can continue. Resume it with one."
            )
        experiment = experiment if rollbacks == 0 else None
        while True:
            attempt = retried(config, rollbacks)
            experiment = experiment or prepare(attempt)
            experiment.interval = shared(experiment.interval)
            state, progress = restore_snapshot(snapshot, config, experiment, rollbacks, force=force)
            begun = progress.saved
            again = rollbacks > (snapshot.rollbacks if snapshot else 0)
            undone = run.begin(config, surroundings, progress.step, logged=progress.line is None)
            if goodput is None:
                goodput = progress.goodput
                goodput.lost += max(0.0, undone[-1]["seconds"] - goodput.seconds) if undone else 0.0
                display = stack.enter_context(ProgressDisplay(config.training.steps, done=progress.step, console=console))
                stack.callback(lambda goodput=goodput: report(str(goodput)))
            else:
                goodput.go_back(progress.goodput)
                progress.goodput = goodput
            schedule = make_schedule(attempt.optimizer, config.training.steps)
            loop = Loop(config, experiment, run, store, state, progress, stop, display, more, report, schedule)
            del state, snapshot  # on a mesh these would be a second, undivided copy
            try:
                yield from loop()
                return _concluded(loop, surroundings)
            except TrainingDiverged as error:
                run.log(str(error))
                if config.training.nonfinite != "rollback" or rollbacks == MOST_ROLLBACKS:
                    raise
                console.print(str(error))
                fruitless = again and progress.saved == begun
                rollbacks, snapshot = rollbacks + 1, read_snapshot(store, warn=report, before=begun if fruitless else None)
                where = f"step {snapshot.step}" if snapshot else "the start"
                report(f"rollback {rollbacks} of {MOST_ROLLBACKS} to {where}: other batches, half the learning rate")
            experiment = None
            vars(loop).clear()  # whoever runs this still has it, and the data of two experiments may not fit on the device
            del loop


def _concluded(loop: Loop, surroundings: dict[str, Any]) -> FitResult:
    """What a training came to; if it was not stopped on request, also in `results.json`."""
    run, config, state, progress = loop.run, loop.config, loop.state, loop.progress
    if loop.stop.requested and progress.step < config.training.steps and not progress.early.due:
        run.log(f"stopped on request at step {progress.step}")
        return FitResult(state.operator(), "stopped", None)
    status = "stopped_early" if progress.early.due else "finished"
    seconds = progress.goodput.seconds
    results = {
        "splits": loop.errors(),
        "train_seconds": seconds,
        "compile_seconds": progress.goodput.compile,
        "goodput": {"fraction": progress.goodput.fraction, **dataclasses.asdict(progress.goodput)},
        "parameters": models.count_parameters(state.model),
        "steps": progress.step,
        "skipped_steps": int(state.guard.skipped),
        "rollbacks": progress.rollbacks,
        "seed": config.seed,
        "status": status,
        "command": surroundings["command"],
        "versions": surroundings["versions"],
    }
    run.finish(results)
    run.log(f"{status} at step {progress.step}, {seconds:.1f} s of training")
    return FitResult(state.operator(), status, results)
