"""A step that ends a training: what is known of it, and the configuration with which to try again from before."""

import dataclasses
import hashlib
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from neuralop_jax.config import ExperimentConfig, TrainingConfig
from neuralop_jax.errors import RunDirError, TrainingDiverged
from neuralop_jax.training._guard import Guard
from neuralop_jax.training._interval import History
from neuralop_jax.training._run_directory import RunDirectory
from neuralop_jax.training._setup import Experiment
from neuralop_jax.training._snapshot import Progress

MOST_ROLLBACKS = 3


def retried(config: ExperimentConfig, rollbacks: int) -> ExperimentConfig:
    """The configuration after so many rollbacks: half the learning rate for each, and random streams of another seed.

    It is a function of both alone, so that a run that is killed and resumed takes the same way.
    """
    if not rollbacks:
        return config
    digest = hashlib.sha256(f"{config.seed} {rollbacks}".encode()).digest()
    optimizer = dataclasses.replace(config.optimizer, learning_rate=config.optimizer.learning_rate / 2**rollbacks)
    return dataclasses.replace(config, optimizer=optimizer, seed=int.from_bytes(digest[:4]) % 4_000_000_000)


def divergence(
    history: History,
    plan: TrainingConfig,
    guard: Guard,
    experiment: Experiment,
    run: RunDirectory,
    progress: Progress,
    schedule: optax.Schedule,
    skipped_before: int,
) -> TrainingDiverged | None:
    """The error of the first step of an interval that held the training, its batch written to files; `None` if none did.

    What it advises depends on `plan`. A finite step is held because its gradient is too large, measured by what `guard` has seen.
    """
    held = ~np.asarray(history["made"]) & ~np.asarray(history["skipped"])
    if not held.any():
        return None
    first = int(np.argmax(held))
    step, loss, norm = progress.step + first, float(history["loss"][first]), float(history["gradient_norm"][first])
    before = [line["loss"] for line in run.metrics()] + np.asarray(history["loss"][:first]).tolist()
    before = [value for value in before if math.isfinite(value)]
    skipped = int(np.sum(history["skipped"][:first]))
    known = f"last finite loss {before[-1]:.4g}" if before else "no finite loss before"
    rate = float(np.asarray(schedule(step - skipped_before - skipped)))  # a skipped step is none of the optimizer
    good = f"step {progress.saved}" if progress.saved else "none"
    is_spike = math.isfinite(loss) and math.isfinite(norm)
    if is_spike:
        usual = float(guard.usual_norm(jnp.asarray(step - skipped_before - skipped)))
        what = f"gradient norm is {norm:.4g}, over training.spike_factor {plan.spike_factor:g} times its mean {usual:.4g},"
    else:
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {norm}"
    place, batch = experiment.interval.batch_of(step)
    figures = {"step": step, "loss": repr(loss), "gradient_norm": repr(norm), "learning_rate": rate, **place}
    note = f", {skipped} steps skipped just before" if skipped else ""
    return TrainingDiverged(
        f"{what} at step {step} ({known}, lr {rate:.3g}, gradient norm {norm:.3g}{note}); {_dumped(run, figures, batch)}; "
        f"last good checkpoint: {good}. {_remedy(plan, progress.rollbacks, is_spike)}"
    )


def _remedy(plan: TrainingConfig, rollbacks: int, is_spike: bool) -> str:
    if plan.nonfinite == "rollback" and rollbacks < MOST_ROLLBACKS:
        return "The training goes back."
    tried = f"With other batches and 1/{2**rollbacks} of the learning rate it came no further. " if rollbacks else ""
    if is_spike:
        return (
            f"{tried}Such steps are skipped, but at most {plan.max_skips_in_a_row} in a row and {plan.max_skips} in all. Try a "
            "larger --training.spike-factor (10 to 100 are usual), a lower --optimizer.learning-rate, or --optimizer.clip 1 with "
            "--training.spike-factor 0."
        )
    if plan.nonfinite == "stop":
        return "Try --optimizer.clip 1, a lower --optimizer.learning-rate or --training.nonfinite skip."
    return f"{tried}Train anew with --optimizer.clip 1 or a lower --optimizer.learning-rate, and look at the batch."


def _dumped(run: RunDirectory, figures: dict[str, Any], batch: Any) -> str:
    """Writes the batch of a step and its figures; says where, or that it failed."""
    try:
        run.write_json("nan_batch.json", figures)
        if batch is None:
            return f"its figures in {run.path / 'nan_batch.json'}"
        run.write_arrays("nan_batch.npz", {**batch.inputs, "target": batch.target})
    except RunDirError as error:
        return f"its batch is lost ({error})"
    return f"batch in {run.path / 'nan_batch.json'} and .npz"
