"""What a checkpoint of a training holds, and the way back from it to a state that continues exactly."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from neuralop_jax.checkpoint import CheckpointStore, fill, operator_record
from neuralop_jax.config import ExperimentConfig, config_sha256, to_json
from neuralop_jax.errors import DataError
from neuralop_jax.training._orders import Order, on_host
from neuralop_jax.training._setup import Experiment
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._stopping import EarlyStopping


@dataclasses.dataclass
class Progress:
    """How far a training has come, beside the arrays of its state: steps, seconds of training and compiling, early stopping."""

    early: EarlyStopping
    step: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    saved: int = 0

    def to_json(self) -> dict[str, Any]:
        """What a resumed training needs, in JSON types."""
        return {
            "seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
            "early_stop": {"best": self.early.best, "waited": self.early.waited},
        }


def save_snapshot(
    store: CheckpointStore, config: ExperimentConfig, experiment: Experiment, state: TrainState, progress: Progress
) -> None:
    """Writes the state as the checkpoint of its step, with all that is needed to load the operator or to continue."""
    record = {
        "operator": operator_record(state.model, experiment.train.info),
        "config": to_json(config),
        "config_sha256": config_sha256(config),
        "data": experiment.train.fingerprint,
        "stream": experiment.interval.position(),
        "progress": progress.to_json(),
    }
    state = on_host(state, Order.STATE)
    trees = {"model": state.model, "optimizer": state.opt_state}
    store.save(progress.step, trees if state.ema is None else {**trees, "ema": state.ema}, record)
    progress.saved = progress.step


def restore_snapshot(
    store: CheckpointStore, experiment: Experiment, early: EarlyStopping, warn: Callable[[str], None]
) -> tuple[TrainState, Progress]:
    """The state and progress of the newest whole checkpoint, with the stream of batches moved there; the start if there is none.

    **Raises:** `CheckpointError` if no checkpoint is whole or its arrays do not fit; `DataError` if the data have changed.
    """
    state = experiment.initial()
    if not store.steps():
        return state, Progress(early)
    step, (record, arrays) = store.newest(lambda step: (step, store.read(step)), warn=warn)
    if record["data"] != experiment.train.fingerprint:
        raise DataError(
            f"{experiment.train.path}: the training split has changed since step {step} was saved. Restore the file, or start a "
            "new run with another --out."
        )
    where = str(store.directory / str(step))
    state = TrainState(
        fill(state.model, arrays["model"], where),
        fill(state.opt_state, arrays["optimizer"], where),
        None if state.ema is None else fill(state.ema, arrays.get("ema", {}), where),
        jnp.asarray(step, jnp.int32),
    )
    if record["stream"] is not None:
        experiment.interval.resume_at(record["stream"])
    store.discard_after(step)
    saved = record["progress"]
    early = dataclasses.replace(early, **saved["early_stop"])
    return state, Progress(early, step, saved["seconds"], saved["compile_seconds"], saved=step)
