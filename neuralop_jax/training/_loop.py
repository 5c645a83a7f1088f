"""The loop around the steps of a training: intervals, and between them a log line, an evaluation, a checkpoint."""

import dataclasses
import math
import time
from collections.abc import Callable, Generator
from typing import Any

import jax
import numpy as np
import optax

from neuralop_jax import evaluation, models
from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.errors import CheckpointError, TrainingDiverged
from neuralop_jax.models import Normalized
from neuralop_jax.training._display import ProgressDisplay, describe
from neuralop_jax.training._divergence import divergence
from neuralop_jax.training._interval import History
from neuralop_jax.training._loggers import Loggers
from neuralop_jax.training._run_directory import RunDirectory
from neuralop_jax.training._setup import Experiment
from neuralop_jax.training._snapshot import Progress, save_snapshot
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._stopping import StopRequest


@dataclasses.dataclass
class Loop:
    """A training between two interruptions. An interval is made, then settled: evaluated, logged and saved as is due.

    Calling it gives a generator that asks for each interval with itself and a number of steps. Whoever runs it advances `state`
    and answers with the history and when the interval began (`made` does): several trainings can so advance by one program.

    What is made but not settled when an exception comes is saved with the line that is still to be written, so that the resumed
    training settles it and logs the same as one that was not disturbed.

    **Arguments:**

    - `config`, `experiment`: what is trained.
    - `run`, `store`: where everything goes.
    - `state`, `progress`: where the training stands.
    - `stop`: ends the training after an interval.
    - `display`, `loggers`: show the lines here and elsewhere.
    - `report`: takes what else happens, in one line each.
    - `schedule`: the learning rate, for the log.
    """

    config: ExperimentConfig
    experiment: Experiment
    run: RunDirectory
    store: CheckpointStore
    state: TrainState
    progress: Progress
    stop: StopRequest
    display: ProgressDisplay
    loggers: Loggers
    report: Callable[[str], None]
    schedule: optax.Schedule

    def __call__(self) -> "Generator[Asked, Answer, None]":
        """Trains until the last step, the early stop or the request, and saves.

        **Raises:** `TrainingDiverged` at a step that is neither made nor skipped; `CheckpointError` if the disk refuses one.
        """
        try:
            if self.progress.line is not None:
                self._settle(self.progress.line)
            while self.progress.step < self.config.training.steps and not self.progress.early.due and not self.stop.requested:
                self._settle((yield from self._interval()))
            if self.progress.saved < self.progress.step:
                self._save()
        except (TrainingDiverged, CheckpointError):
            raise
        except BaseException as error:
            self._rescue(error)
            raise

    def errors(self) -> dict[str, dict[str, Any]]:
        """The errors on every held-out split."""
        with self.progress.goodput.measure("evaluate"):
            return _evaluate(self.state.operator(), self.experiment, self.config)

    def _interval(self) -> "Generator[Asked, Answer, dict[str, Any]]":
        """Has the steps up to the next log line made, and gives that line."""
        plan, progress, goodput = self.config.training, self.progress, self.progress.goodput
        compiled = self.experiment.interval.compile_seconds
        length = min(plan.log_every - progress.step % plan.log_every, plan.steps - progress.step)
        skipped_before = int(self.state.guard.skipped)
        history, start = yield self, length
        interrupt = None
        try:
            history = _fetched(history)
        except KeyboardInterrupt as error:  # the steps that run are ended and saved; a second one gives them up
            interrupt, history = error, _fetched(history)
        compiling = self.experiment.interval.compile_seconds - compiled
        seconds = time.perf_counter() - start - compiling
        goodput.compile += compiling
        known = self.state.guard, self.experiment, self.run, progress, self.schedule, skipped_before
        if (error := divergence(history, plan, *known)) is not None:
            goodput.lost += seconds
            raise error
        goodput.steps += seconds
        self._report_skipped(history)
        progress.step += length
        made, skipped = history["made"], skipped_before + int(np.sum(history["skipped"]))
        progress.line = {
            "step": progress.step,
            "loss": _mean(history["loss"][made]),
            "learning_rate": float(np.asarray(self.schedule(max(progress.step - skipped - 1, 0)))),
            "gradient_norm": _mean(history["gradient_norm"][made]),
            "skipped": skipped,
            "steps_per_second": length / seconds,
        }
        if interrupt is not None:
            raise interrupt
        return progress.line

    def _settle(self, line: dict[str, Any]) -> None:
        """Evaluates, logs and saves as is due at the step of a line."""
        plan, progress, early = self.config.training, self.progress, self.progress.early
        evaluates, saves = (every and progress.step % every == 0 for every in (plan.evaluate_every, plan.save_every))
        if evaluates or saves:
            self._calibrate()
        if evaluates:
            line = {**line, "splits": self.errors()}
            early = early.after(line["splits"])
        logged = {**line, "seconds": progress.goodput.seconds}
        self.run.append_metrics(logged)
        self.loggers.log(logged)
        progress.line, progress.early = None, early
        self.run.log(f"step {progress.step}: {describe(line)}")
        self.display.update(line)
        if saves and progress.saved < progress.step:
            self._try_to_save()

    def _calibrate(self) -> None:
        with self.progress.goodput.measure("evaluate"):
            self.state = self.experiment.calibration(self.state)

    def _try_to_save(self) -> None:
        try:
            self._save()
        except CheckpointError as error:
            if self.config.training.on_save_error == "stop":
                raise
            self.report(f"{error} Training goes on and tries again at the next checkpoint.")

    def _save(self) -> None:
        self.run.check_held()
        self._calibrate()
        with self.progress.goodput.measure("save"):
            save_snapshot(self.store, self.config, self.experiment, self.state, self.progress)

    def _rescue(self, error: BaseException) -> None:
        """Saves what an exception would have cost, if the arrays are still there and those of a whole interval."""
        arrays = [leaf for leaf in jax.tree.leaves(self.state) if isinstance(leaf, jax.Array)]
        lost = any(leaf.is_deleted() for leaf in arrays) or int(self.state.step) != self.progress.step
        if lost or self.progress.saved == self.progress.step:
            return
        try:
            self._save()
        except Exception as second:
            self.report(f"step {self.progress.step} could not be saved after {type(error).__name__}: {second}")
        else:
            self.report(f"saved at step {self.progress.step} after {type(error).__name__}")

    def _report_skipped(self, history: dict[str, np.ndarray]) -> None:
        steps = np.flatnonzero(history["skipped"])
        if len(steps):
            loss, norm, first = history["loss"], history["gradient_norm"], self.progress.step
            told = [f"{first + step} (loss {loss[step]:.4g}, gradient norm {norm[step]:.3g})" for step in steps[:5]]
            more = f" and {len(steps) - 5} more" if len(steps) > 5 else ""
            self.report(f"skipped step {', '.join(told)}{more}")


Asked = tuple[Loop, int]
"""The loop of a training, and the steps that it wants."""
Answer = tuple[History, float]
"""What became of them, and when they began, by `time.perf_counter`."""


def made(loop: Loop, num_steps: int) -> Answer:
    """Makes the steps that a training asks for, by its own program."""
    start = time.perf_counter()
    loop.state, history = loop.experiment.interval(loop.state, num_steps)
    return history, start


def _fetched(history: History) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in history.items()}


def _mean(values: np.ndarray) -> float:
    """The mean of what was made; not a number if every step was skipped."""
    return float(np.mean(values, dtype=np.float64)) if len(values) else math.nan


def _evaluate(operator: Normalized, experiment: Experiment, config: ExperimentConfig) -> dict[str, dict[str, Any]]:
    """The errors on every held-out split."""
    size = config.data.batch_size
    return {
        name: evaluation.evaluate(models.on_times(operator, split.times), split, batch_size=size)
        for name, split in experiment.held_out.items()
    }
