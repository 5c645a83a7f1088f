"""What a checkpoint of a training holds, and the way back from it to a state that continues exactly."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import jax.numpy as jnp

from neuralop_jax._checkpoint_record import SavedOperator, check_record
from neuralop_jax._checks import shown
from neuralop_jax._config_values import Bounds
from neuralop_jax._json_schema import Count
from neuralop_jax._run_files import Line
from neuralop_jax._strict_json import numbers, strict
from neuralop_jax.checkpoint import CheckpointStore, fill, operator_record
from neuralop_jax.config import ExperimentConfig, config_difference, config_sha256, from_json, to_json
from neuralop_jax.errors import CheckpointError, DataError
from neuralop_jax.training._changes import check_changes
from neuralop_jax.training._goodput import Goodput
from neuralop_jax.training._guard import Guard
from neuralop_jax.training._orders import Order, on_host
from neuralop_jax.training._setup import Experiment
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._stopping import EarlyStopping


class _EarlyStop(TypedDict):
    best: float
    waited: Count


class _Progress(TypedDict):
    early_stop: _EarlyStop
    goodput: Goodput
    line: Line | None
    rollbacks: Annotated[int, Bounds(at_least=0.0, below=100.0)]


class _Record(SavedOperator):
    config: dict[str, Any]
    config_sha256: str
    data: str
    stream: dict[str, Any] | None
    progress: _Progress


@dataclasses.dataclass
class Progress:
    """How far a training has come, beside the arrays of its state.

    - `early`, `goodput`: early stopping, and the time spent.
    - `rollbacks`: how often the training went back because it diverged.
    - `step`, `saved`: steps done, and steps of the newest checkpoint.
    - `line`: the line of `metrics.jsonl` of the newest interval, while it is neither evaluated nor written.
    """

    early: EarlyStopping
    goodput: Goodput
    rollbacks: int = 0
    step: int = 0
    saved: int = 0
    line: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """What a resumed training needs, in JSON types."""
        return {
            "early_stop": {"best": self.early.best, "waited": self.early.waited},
            "goodput": dataclasses.asdict(self.goodput),
            "line": self.line,
            "rollbacks": self.rollbacks,
        }


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A checkpoint as it was read: what `save_snapshot` wrote as step `step`."""

    where: str
    step: int
    record: dict[str, Any]
    arrays: dict[str, Any]

    @property
    def rollbacks(self) -> int:
        """How often the training had gone back."""
        return self.record["progress"]["rollbacks"]


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
        "progress": strict(progress.to_json()),
    }
    state = on_host(state, Order.STATE)
    store.discard_after(progress.saved)  # what a rollback left behind, or was damaged
    trees = {"model": state.model, "optimizer": state.opt_state, "guard": state.guard}
    store.save(progress.step, trees if state.ema is None else {**trees, "ema": state.ema}, record)
    progress.saved = progress.step


def read_snapshot(store: CheckpointStore, warn: Callable[[str], None], *, before: int | None = None) -> Snapshot | None:
    """The newest whole checkpoint, `None` if there is none at all; of those below the step `before`, if it is given.

    **Raises:** `CheckpointError` if there are checkpoints but none is whole, or one cannot be read.
    """
    if not any(before is None or step < before for step in store.steps()):
        return None

    def read(step: int) -> Snapshot:
        record, arrays = store.read(step)
        where = str(store.directory / str(step))
        record |= {"progress": numbers(record.get("progress"))}
        check_record(_Record, record, where)
        return Snapshot(where, step, record, arrays)

    return store.newest(read, warn=warn, before=before)


def restore_snapshot(
    snapshot: Snapshot | None, config: ExperimentConfig, experiment: Experiment, rollbacks: int, *, force: bool
) -> tuple[TrainState, Progress]:
    """The state and the progress of a checkpoint, with the stream of batches moved there; the start if there is none.

    **Arguments:**

    - `experiment`: of the configuration after `rollbacks` rollbacks; if these are more than the checkpoint knows of, the stream
        of batches begins anew.
    - `force`: allows another configuration, as long as all arrays fit.

    **Raises:** `CheckpointError` if the arrays or the operator differ; `ConfigError` if the configuration does; `DataError` if
    the data have changed.
    """
    state, plan = experiment.initial(), config.training
    early = EarlyStopping(plan.early_stop_split, plan.early_stop_patience)
    if snapshot is None:
        return state, Progress(early, Goodput(), rollbacks)
    record, arrays, where = snapshot.record, snapshot.arrays, snapshot.where
    if not experiment.train.recognizes(record["data"]):
        raise DataError(
            f"{experiment.train.path}: the training split has changed since step {snapshot.step} was saved. Restore the file, or "
            "start a new run with another --out."
        )
    stored = from_json(record["config"], where)
    check_changes(stored, config, where, force=force)
    changes = config_difference(stored, config)
    also = f"The configuration differs: {'; '.join(changes)}." if changes else ""
    state = TrainState(
        fill(state.model, arrays.get("model", {}), where, also=also),
        fill(state.opt_state, arrays.get("optimizer", {}), where, also=also),
        None if state.ema is None else fill(state.ema, arrays.get("ema", {}), where, also=also),
        jnp.asarray(snapshot.step, jnp.int32),
        fill(Guard.create(), arrays.get("guard", {}), where),
    )
    if not force:
        _check_spec(record["operator"]["spec"], operator_record(state.model)["spec"], where)
    if record["stream"] is not None and rollbacks == snapshot.rollbacks:
        experiment.interval.resume_at(record["stream"])
    saved = record["progress"]
    early, goodput = dataclasses.replace(early, **saved["early_stop"]), Goodput(**saved["goodput"])
    return state, Progress(early, goodput, rollbacks, snapshot.step, snapshot.step, saved["line"])


def _check_spec(stored: dict[str, Any], wanted: dict[str, Any], where: str) -> None:
    """Raises `CheckpointError` if another operator was saved, even if its arrays have the same shapes."""
    differ = [name for name in sorted(stored | wanted) if stored.get(name) != wanted.get(name)]
    if differ:
        listed = "; ".join(f"{name} {shown(stored.get(name, 'unset'))} -> {shown(wanted.get(name, 'unset'))}" for name in differ)
        raise CheckpointError(
            f"{where} holds another operator, though its arrays have the same shapes: {listed}. Resume with the configuration "
            "and the version that wrote it, or allow it with --force."
        )
