"""The training loop: intervals of pure steps, and between them a log line, an evaluation, a checkpoint."""

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import Any, Literal

import jax
from rich.console import Console

from neuralop_jax import evaluation, models
from neuralop_jax.checkpoint import CheckpointStore, fill, operator_record
from neuralop_jax.config import ExperimentConfig, config_sha256, to_json
from neuralop_jax.errors import CheckpointError, TrainingDiverged
from neuralop_jax.models import Normalized
from neuralop_jax.training._callbacks import ProgressDisplay, describe
from neuralop_jax.training._environment import environment, versions
from neuralop_jax.training._optimizers import make_schedule
from neuralop_jax.training._run_directory import RunDirectory
from neuralop_jax.training._setup import Experiment, prepare
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._stopping import EarlyStopping, StopRequest


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a training came to.

    - `operator`: the trained operator in physical units, with averaged weights if there are any.
    - `status`: `"finished"`; `"stopped"` by a request, to be resumed; `"stopped_early"` by the error of a split.
    - `results`: what `results.json` holds; `None` if stopped by a request.
    """

    operator: Normalized
    status: Literal["finished", "stopped", "stopped_early"]
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

    A run that was killed continues, with `resume=True`, from its newest whole checkpoint with the same batches and the same numbers,
    bit for bit on the same machine and versions.

    **Arguments:**

    - `config`: the experiment, for instance from `load_config`.
    - `run_dir`: a directory that is empty or not there, or with `resume` that of a run.
    - `resume`: continue. Lengths and intervals may have changed since, nothing else.
    - `stop`: a request made on it ends the training after the interval that runs, with a checkpoint.
    - `console`: where progress is shown; standard output by default, `rich.console.Console(quiet=True)` for nowhere.

    **Returns:** a `FitResult`.

    **Raises:** `RunDirError`, `ConfigError`, `DataError` before anything is written; `TrainingDiverged` if the loss or the gradient
    is not finite, with the last good checkpoint in place; `CheckpointError` if one cannot be written or read.
    """
    stop, early = stop or StopRequest(), EarlyStopping(config.training.early_stop_split, config.training.early_stop_patience)
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunDirectory(run_dir, resume=resume))
        run.check_config(config)
        experiment = prepare(config)
        run.open(config)
        store = stack.enter_context(CheckpointStore(run.checkpoints, keep=config.training.keep))
        state, seconds = _start(experiment, run, store, early, config)
        run.forget_metrics_after(int(state.step))
        run.write_json("env.json", {**environment(), "data": experiment.train.fingerprint})
        parameters = models.count_parameters(state.model)
        run.log(f"training from step {int(state.step)} to {config.training.steps}, {parameters} parameters")
        display = stack.enter_context(ProgressDisplay(config.training.steps, done=int(state.step), console=console))
        loop = _Loop(config, experiment, run, store, display, early, seconds)
        state = loop.advance(state, stop)

        operator: Normalized = state.operator()
        if stop.requested and int(state.step) < config.training.steps and not early.due:
            run.log(f"stopped on request at step {int(state.step)}")
            return FitResult(operator, "stopped", None)
        results = {
            "splits": loop.errors if loop.evaluated == int(state.step) else loop.evaluate(operator),
            "train_seconds": loop.seconds,
            "compile_seconds": experiment.interval.compile_seconds,
            "parameters": parameters,
            "steps": int(state.step),
            "seed": config.seed,
            "status": "stopped_early" if early.due else "finished",
            "command": " ".join(environment()["command"]),
            "versions": versions(),
        }
        run.write_json("results.json", results)
        run.finish()
        run.log(f"{results['status']} at step {results['steps']} after {loop.seconds:.1f} s")
        return FitResult(operator, results["status"], results)


@dataclasses.dataclass
class _Loop:
    """The short loop, and what it remembers from interval to interval."""

    config: ExperimentConfig
    experiment: Experiment
    run: RunDirectory
    store: CheckpointStore
    display: ProgressDisplay
    early: EarlyStopping
    seconds: float
    errors: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    evaluated: int = -1
    loss: float = math.nan

    def advance(self, state: TrainState, stop: StopRequest) -> TrainState:
        """Interval after interval until the last step, a request, or an early stop; every way out but an error saves."""
        plan, done = self.config.training, int(state.step)
        while done < plan.steps and not stop.requested and not self.early.due:
            start = time.perf_counter()
            length = min(plan.log_every - done % plan.log_every, plan.steps - done)
            state, history = self.experiment.interval(state, length)
            self._check(history, done, length)
            done += length
            line = self._line(history, done, length / (time.perf_counter() - start))
            if plan.evaluate_every and done % plan.evaluate_every == 0:
                line["splits"] = self.evaluate(state.operator())
                self.early.update(line["splits"])
                self.evaluated = done
            self.seconds += time.perf_counter() - start
            self.run.append_metrics({**line, "seconds": self.seconds})
            self.run.log(f"step {done}: {describe(line)}")
            self.display.update(line)
            if done % plan.save_every == 0 or done == plan.steps or stop.requested or self.early.due:
                self._save(state)
        return state

    def evaluate(self, operator: Normalized) -> dict[str, dict[str, Any]]:
        """The errors on every held-out split."""
        size, held_out = self.config.data.batch_size, self.experiment.held_out
        self.errors = {name: evaluation.evaluate(operator, split, batch_size=size) for name, split in held_out.items()}
        return self.errors
