"""What keeps a training from beginning, found from shapes alone: `prepare` and `plan` refuse the same with the same line."""

import equinox as eqx
import jax
import numpy as np

from neuralop_jax import data, models
from neuralop_jax._checks import did_you_mean
from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.data import Sample
from neuralop_jax.data._pairing import Pairing
from neuralop_jax.data._schema import field_shape
from neuralop_jax.errors import ConfigError, DataError, ModelInputError
from neuralop_jax.info import DatasetInfo
from neuralop_jax.models import (
    AbstractOperator,
    AbstractTrajectoryOperator,
    ContinuousTime,
    ImplicitFNO,
    Normalized,
    SeriesCDE,
)
from neuralop_jax.training._mesh import DeviceMesh
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._step import Step

_SOLVING = (ContinuousTime, ImplicitFNO, SeriesCDE)


def pairing_of(config: DataConfig) -> Pairing:
    """The fields and frames that a configuration names."""
    return Pairing(config.input, config.target, config.input_time, config.target_time)


def sample_shapes(config: DataConfig, info: DatasetInfo, split: str) -> Sample:
    """A sample of a split, with shapes in the place of arrays."""
    pairing, known = pairing_of(config), info.splits[split]
    fields = {name: info.field(name) for name in pairing.names}
    zeros = {name: np.zeros((1, *field_shape(field, known)[1:]), np.float32) for name, field in fields.items()}
    batch = pairing.batch(zeros, {name: field.time_varying for name, field in fields.items()}, known.grid.shape)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch)


def check_samples(config: DataConfig, info: DatasetInfo) -> None:
    """Raises `DataError` if a split is empty, as opening it does; the training split comes first."""
    for name in (config.train_split, *info.splits):
        if info.splits[name].num_samples == 0:
            raise DataError(f"{config.path}: split {name!r} has no samples. Add data.")


def check_batches(config: ExperimentConfig, num_samples: int) -> None:
    """Raises `DataError` unless the training split makes the batches of one step; whatever came up twice would add nothing."""
    size, accumulate = config.data.batch_size, config.optimizer.accumulate
    data.check_batch_size(num_samples, size, config.data.train_split)
    if accumulate > num_samples // size:
        raise DataError(
            f"optimizer.accumulate {accumulate} takes more batches than the {num_samples // size} of an epoch: {num_samples} "
            f"samples of split {config.data.train_split!r} in batches of {size}. Use --optimizer.accumulate "
            f"{num_samples // size} at most."
        )


def check_splits(config: ExperimentConfig, info: DatasetInfo, operator: Normalized) -> dict[str, str]:
    """Raises `ConfigError` unless the operator, whose arrays may be shapes, can be trained on the one split and evaluated on the
    others. Gives the held-out splits that it cannot read, each with the reason."""
    described, decides = config.data, config.training.early_stop_split
    held_out = [name for name in info.splits if name != described.train_split]
    if decides and decides not in held_out:
        raise ConfigError(
            f"training.early_stop_split {decides!r} is no held-out split of {described.path}, which has "
            f"{', '.join(held_out) or 'none'}.{did_you_mean(decides, held_out)}"
        )
    shapes = {name: split.grid.shape for name, split in info.splits.items()}
    refused = {name: reason for name in held_out if (reason := models.refused_grid(operator, shapes[name]))}
    if decides in refused:
        raise ConfigError(f"training.early_stop_split {decides!r} cannot be evaluated: {refused[decides]}. Name another split.")
    models.check_training_grid(operator, shapes[described.train_split], name=described.path)
    for name in (described.train_split, *held_out):
        if name not in refused:
            _check_fit(config, info, operator, name)
    _check_patches(config.loss.patch_levels, shapes[described.train_split])
    return refused


def check_states(config: DataConfig, model: AbstractOperator, times: tuple[float, ...]) -> None:
    """Raises `ConfigError` unless the targets of an operator of trajectories are later states of its input, at its times."""
    if not isinstance(model, AbstractTrajectoryOperator):
        return
    if config.input != config.target or config.input_normalizer != config.target_normalizer:
        raise ConfigError(
            f"a {type(model).__name__} returns states like its input, got data.input {list(config.input)} with the normalizer "
            f"{config.input_normalizer!r} and data.target {list(config.target)} with {config.target_normalizer!r}. Make both the "
            "same."
        )
    if times and not models.same_times(model.times, times):
        raise ConfigError(
            f"model.times {list(model.times)} are not those of the target's frames, {[round(t, 6) for t in times]}. Leave "
            "them out, and choose frames by data.target_time."
        )


def check_mesh(config: ExperimentConfig, mesh: DeviceMesh, operator: Normalized, shape: tuple[int, ...]) -> None:
    """Raises `ConfigError` unless the devices of a mesh can share batches, domains of this `shape` and the operator."""
    mesh.check_sizes(config.data.batch_size, shape)
    if mesh.space > 1 and not operator.model.divisible:
        raise ConfigError(
            f"model.kind {config.model.kind!r} needs whole domains, which mesh.space {mesh.space} devices would share. Use "
            "--mesh.space 1 and share the samples along --mesh.data; fno, classic_fno, tfno, mgno and the "
            "patches of multigrid_patches take parts of domains."
        )
    if solving := solves_equations(operator):
        raise ConfigError(
            f"model.kind {config.model.kind!r} solves equations in loops ({solving}), which devices cannot share. "
            "Leave [mesh] out."
        )


def check_step(config: ExperimentConfig, step: Step, state: TrainState, sample: Sample) -> None:
    """Raises whatever tracing a step raises, such as `ModelInputError` where devices cannot share a domain; computes nothing.

    **Arguments:** `state` and `sample` may hold shapes in the place of arrays.
    """
    sizes = (config.optimizer.accumulate, config.data.batch_size)[config.optimizer.accumulate == 1 :]
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*sizes, *x.shape), x.dtype), sample)
    eqx.filter_eval_shape(lambda state, batch: step(state, batch, jax.random.key(0)), state, batch)


def solves_equations(operator: AbstractOperator) -> str:
    """The class of a module anywhere in an operator that solves equations in loops of unknown length; empty without any."""
    is_solver = lambda node: isinstance(node, _SOLVING)
    found = filter(is_solver, jax.tree.leaves(operator, is_leaf=is_solver))
    return next((type(node).__name__ for node in found), "")


def _check_fit(config: ExperimentConfig, info: DatasetInfo, operator: Normalized, split: str) -> None:
    """Raises `ConfigError` unless the operator takes the inputs of a split and returns fields like its targets."""
    where, train_split = f"{config.data.path}:{split}", config.data.train_split
    found, wanted = info.splits[split].grid.num_dims, info.splits[train_split].grid.num_dims
    if found != wanted:
        raise ConfigError(f"{where} has {found} space axes, the training data {wanted}. Take it out of the file.")
    sample = sample_shapes(config.data, info, split)
    u, target = sample.inputs["u"], sample.target
    asked = models.on_times(operator, pairing_of(config.data).target_times(info, split))
    try:
        returned = eqx.filter_eval_shape(lambda operator, u: operator(u), asked, u).shape
    except ModelInputError as error:
        raise ConfigError(f"{where} does not fit the model: {error}") from error
    if returned != target.shape:
        raise ConfigError(
            f"{where} has targets {target.shape}, the model returns {returned} for inputs {u.shape}. Change model.out_channels "
            "or model.output_scaling."
        )


def _check_patches(levels: int, shape: tuple[int, ...]) -> None:
    """Raises `ConfigError` unless the targets can be cut into the patches of the loss."""
    if any(n % 2**levels for n in shape):
        raise ConfigError(
            f"loss.patch_levels={levels} needs a multiple of {2**levels} points per axis, the targets have {shape}."
        )
