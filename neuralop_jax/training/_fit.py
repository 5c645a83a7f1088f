"""The training loop: intervals of pure steps, and between them a log line, an evaluation, a checkpoint."""

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console

from neuralop_jax import evaluation, models
from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.errors import TrainingDiverged
from neuralop_jax.models import Normalized
from neuralop_jax.training._display import ProgressDisplay, describe, plain_console
from neuralop_jax.training._environment import environment
from neuralop_jax.training._interval import History
from neuralop_jax.training._optimizers import make_schedule
from neuralop_jax.training._processes import leading
from neuralop_jax.training._run_directory import RunDirectory
from neuralop_jax.training._setup import Experiment, prepare
from neuralop_jax.training._snapshot import Progress, restore_snapshot, save_snapshot
from neuralop_jax.training._stopping import EarlyStopping, StopRequest


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


def fit(
    config: ExperimentConfig,
    *,
    run_dir: str | Path,
    resume: bool = False,
    stop: StopRequest | None = None,
    console: Console | None = None,
) -> FitResult:
    """Trains as a configuration says and leaves everything in a run directory.

    A run that was killed continues, with `resume=True`, from its newest whole checkpoint with the same batches and the same
    numbers, bit for bit on the same machine and versions; on another number of devices up to round-off.

    Of several processes that `jax.distributed` joined, the first calls this and the others `follow`.

    **Arguments:**

    - `config`: the experiment, for instance from `load_config`.
    - `run_dir`: a directory that is empty or not there, or with `resume` that of a run.
    - `resume`: continue. Lengths and intervals may have changed since, nothing else.
    - `stop`: a request made on it ends the training after the interval that runs, with a checkpoint.
    - `console`: where progress is shown; standard output by default, `rich.console.Console(quiet=True)` for nowhere.

    **Returns:** a `FitResult`.

    **Raises:** `RunDirError`, `ConfigError`, `DataError` before anything is written; `TrainingDiverged` if the loss or the
    gradient is not finite, with the last good checkpoint in place; `CheckpointError` if one cannot be written or read.
    """
    plan, stop, console = config.training, stop or StopRequest(), console or plain_console()
    early = EarlyStopping(plan.early_stop_split, plan.early_stop_patience)
    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(leading(stop))
        run = stack.enter_context(RunDirectory(run_dir, resume=resume))
        run.check_config(config)
        experiment = prepare(config)
        experiment.interval = shared(experiment.interval)
        run.open(config)
        store = stack.enter_context(CheckpointStore(run.checkpoints, keep=plan.keep))
        state, progress = restore_snapshot(store, experiment, early, warn=lambda line: (run.log(line), console.print(line))[0])
        early, compiled_before = progress.early, progress.compile_seconds
        surroundings = {**environment(), "data": experiment.train.fingerprint}
        run.begin(config, surroundings, progress.step)
        for line in experiment.left_out:
            run.log(line)
            console.print(line)
        display = stack.enter_context(ProgressDisplay(plan.steps, done=progress.step, console=console))
        schedule = make_schedule(config.optimizer, plan.steps)

        while progress.step < plan.steps and not early.due and not stop.requested:
            start, compiled = time.perf_counter(), experiment.interval.compile_seconds
            length = min(plan.log_every - progress.step % plan.log_every, plan.steps - progress.step)
            state, history = experiment.interval(state, length)
            _check_finite(history, run, experiment, progress, schedule)
            progress.step += length
            line = {
                "step": progress.step,
                "loss": float(np.mean(history["loss"], dtype=np.float64)),
                "learning_rate": float(np.asarray(schedule(progress.step - 1))),
                "gradient_norm": float(np.mean(history["gradient_norm"], dtype=np.float64)),
                "steps_per_second": length / (time.perf_counter() - start - (experiment.interval.compile_seconds - compiled)),
            }
            evaluates = plan.evaluate_every and progress.step % plan.evaluate_every == 0
            if evaluates or progress.step % plan.save_every == 0:
                state = experiment.calibration(state)
            if evaluates:
                line["splits"] = _evaluate(state.operator(), experiment, config)
                early.update(line["splits"])
            progress.compile_seconds = compiled_before + experiment.interval.compile_seconds
            progress.seconds += time.perf_counter() - start
            run.append_metrics({**line, "seconds": progress.seconds})
            run.log(f"step {progress.step}: {describe(line)}")
            display.update(line)
            if progress.step % plan.save_every == 0:
                save_snapshot(store, config, experiment, state, progress)
        if progress.saved < progress.step:
            state = experiment.calibration(state)
            save_snapshot(store, config, experiment, state, progress)

        if stop.requested and progress.step < plan.steps and not early.due:
            run.log(f"stopped on request at step {progress.step}")
            return FitResult(state.operator(), "stopped", None)
        status = "stopped_early" if early.due else "finished"
        results = {
            "splits": _evaluate(state.operator(), experiment, config),
            "train_seconds": progress.seconds,
            "compile_seconds": progress.compile_seconds,
            "parameters": models.count_parameters(state.model),
            "steps": progress.step,
            "seed": config.seed,
            "status": status,
            "command": surroundings["command"],
            "versions": surroundings["versions"],
        }
        run.finish(results)
        run.log(f"{status} at step {progress.step}, {progress.seconds:.1f} s of training")
        return FitResult(state.operator(), status, results)


def _evaluate(operator: Normalized, experiment: Experiment, config: ExperimentConfig) -> dict[str, dict[str, Any]]:
    """The errors on every held-out split."""
    size = config.data.batch_size
    return {
        name: evaluation.evaluate(models.on_times(operator, split.times), split, batch_size=size)
        for name, split in experiment.held_out.items()
    }


def _check_finite(history: History, run: RunDirectory, experiment: Experiment, progress: Progress, schedule: Any) -> None:
    """Raises `TrainingDiverged` if a step of the interval was not finite, and notes the batch of that step in a file."""
    if history["finite"].all():
        return
    first = int(np.argmin(history["finite"]))
    step, loss, norm = progress.step + first, float(history["loss"][first]), float(history["gradient_norm"][first])
    before = [line["loss"] for line in run.metrics()[-1:]] + history["loss"][:first].tolist()
    run.write_json("nan_batch.json", {"step": step, **experiment.interval.batch_of(step)})
    what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {norm}"
    known = f"last finite loss {before[-1]:.4g}" if before else "no finite loss before"
    good = f"step {progress.saved}" if progress.saved else "none"
    message = (
        f"{what} at step {step} ({known}, lr {np.asarray(schedule(step)):.3g}, gradient norm {norm:.3g}); batch in "
        f"{run.path / 'nan_batch.json'}; last good checkpoint: {good}. Try --optimizer.clip 1 or a lower "
        "--optimizer.learning-rate."
    )
    run.log(message)
    raise TrainingDiverged(message)
