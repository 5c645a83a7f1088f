"""From a configuration to everything that a training needs, with every check that can be made before the first step."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import PartitionSpec

from neuralop_jax import data, losses, models
from neuralop_jax._checks import did_you_mean
from neuralop_jax._typing import PRNGKey
from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.data import DeviceData, HDF5Dataset
from neuralop_jax.errors import ConfigError, DataError, ModelInputError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo
from neuralop_jax.kernels import SPACE
from neuralop_jax.models import AbstractOperator, AbstractTrajectoryOperator, ContinuousTime, ImplicitFNO, Normalized, SeriesCDE
from neuralop_jax.normalizers import fit_normalizer
from neuralop_jax.training._calibration import Calibration
from neuralop_jax.training._guard import GuardRule
from neuralop_jax.training._interval import DeviceInterval, Interval, StreamInterval
from neuralop_jax.training._mesh import DATA, DeviceMesh
from neuralop_jax.training._optimizers import make_optimizer
from neuralop_jax.training._penalized import check_penalty, penalized
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._step import Step, make_step, supervised

_STREAMS = {"init": 0, "data": 1, "noise": 2, "calibration": 3}
_DEVICE_BYTES = 2**31
_SOLVING = (ContinuousTime, ImplicitFNO, SeriesCDE)
_BLOCK = 256  # samples held at once to fit a normalizer


@dataclasses.dataclass
class Experiment:
    """What a configuration describes, ready to train; `left_out` says which held-out splits the operator cannot read."""

    train: HDF5Dataset
    held_out: dict[str, HDF5Dataset]
    left_out: tuple[str, ...]
    operator: Normalized
    optimizer: optax.GradientTransformation
    interval: Interval
    initial: Callable[[], TrainState]
    calibration: Calibration


def stream(seed: int, name: str) -> PRNGKey:
    """The random stream `"init"`, `"data"`, `"noise"` or `"calibration"` of a seed; none depends on the use of another."""
    return jax.random.fold_in(jax.random.key(seed), _STREAMS[name])


def prepare(config: ExperimentConfig) -> Experiment:
    """Opens the data, fits the normalizers on the training split, builds the operator and the compiled parts of its training.

    **Raises:** `ConfigError` or `DataError` for whatever would go wrong later: see `HDF5Dataset`, `models.build`, a split smaller
    than the batch, fewer grid points than modes, a split that is not there, held-out samples that are training samples.

    !!! example

        ```python
        from neuralop_jax.config import load_config
        from neuralop_jax.training import prepare

        def first_losses(path, num_steps=10):
            experiment = prepare(load_config(path))
            state, history = experiment.interval(experiment.initial(), num_steps)
            return history["loss"]
        ```
    """
    train = open_split(config.data, config.data.train_split)
    data.check_batch_size(len(train), config.data.batch_size, train.split)
    held_out = {name: open_split(config.data, name) for name in train.info.splits if name != train.split}
    decides = config.training.early_stop_split
    if decides and decides not in held_out:
        raise ConfigError(
            f"training.early_stop_split {decides!r} is no held-out split of {config.data.path}, which has "
            f"{', '.join(held_out) or 'none'}.{did_you_mean(decides, held_out)}"
        )
    operator = _build(config, train)
    refused = {name: reason for name, split in held_out.items() if (reason := models.refused_grid(operator, split.grid.shape))}
    if decides in refused:
        raise ConfigError(f"training.early_stop_split {decides!r} cannot be evaluated: {refused[decides]}. Name another split.")
    held_out = {name: split for name, split in held_out.items() if name not in refused}
    left_out = tuple(f"{name} is left out: {reason}." for name, reason in refused.items())
    models.check_training_grid(operator, train.grid.shape, name=config.data.path)
    if config.data.shared_samples == "error":
        shared = data.shared_samples(config.data.path, train.split, train.pairing.input, among=held_out)
        refuse_shared(config.data, train.info, shared)
    for dataset in (train, *held_out.values()):
        _check_fit(models.on_times(operator, dataset.times), dataset, f"{config.data.path}:{dataset.split}", train.grid.num_dims)
    check_patches(config.loss.patch_levels, train[0].target.shape[1:])
    optimizer = make_optimizer(config.optimizer, config.training.steps)
    interval = _interval(config, train, operator, optimizer, _mesh(config, train, operator))
    initial = lambda: TrainState.create(operator, optimizer, averaged=config.training.ema > 0)
    calibration = Calibration(train, config.data.batch_size, stream(config.seed, "calibration"), _augmentation(config))
    return Experiment(train, held_out, left_out, operator, optimizer, interval, initial, calibration)


def refuse_shared(config: DataConfig, info: DatasetInfo, shared: Mapping[str, int | None]) -> None:
    """Raises `DataError` if held-out samples are training samples; `shared` as of `data.shared_samples`."""
    sizes = {name: split.num_samples for name, split in info.splits.items()}
    lines = [shared_line(name, count, sizes[name], config.train_split) for name, count in shared.items() if count]
    if lines:
        raise DataError(
            f"{config.path}: {'; '.join(lines)}. Errors on them would say little of new samples: split the data anew, or take "
            "them as they are with --data.shared-samples allow."
        )


def shared_line(split: str, count: int, num_samples: int, train_split: str) -> str:
    """That samples of a held-out split are training samples, in words."""
    return f"{count} of {num_samples} samples of {split!r} have the input of a sample of {train_split!r}"


def _check_fit(operator: AbstractOperator, dataset: HDF5Dataset, where: str, num_dims: int) -> None:
    """Raises `ConfigError` unless the operator takes the inputs of a split and returns fields like its targets."""
    if dataset.grid.num_dims != num_dims:
        raise ConfigError(
            f"{where} has {dataset.grid.num_dims} space axes, the training data {num_dims}. Take it out of the file."
        )
    u, target = dataset[0].inputs["u"], dataset[0].target
    try:
        found = jax.eval_shape(operator, u).shape
    except ModelInputError as error:
        raise ConfigError(f"{where} does not fit the model: {error}") from error
    if found != target.shape:
        raise ConfigError(
            f"{where} has targets {target.shape}, the model returns {found} for inputs {u.shape}. Change model.out_channels or "
            "model.output_scaling."
        )


def check_patches(levels: int, shape: tuple[int, ...]) -> None:
    """Raises `ConfigError` unless the targets can be cut into the patches of the loss."""
    if any(n % 2**levels for n in shape):
        raise ConfigError(
            f"loss.patch_levels={levels} needs a multiple of {2**levels} points per axis, the targets have {shape}."
        )


def open_split(config: DataConfig, split: str) -> HDF5Dataset:
    """A split of the file that a configuration names, with its fields and frames."""
    times = {"input_time": config.input_time, "target_time": config.target_time}
    return HDF5Dataset(config.path, split, config.input, config.target, nonfinite=config.nonfinite, **times)


def _build(config: ExperimentConfig, train: HDF5Dataset) -> Normalized:
    """The operator of the configuration between normalizers of the training split."""
    model = build_model(config, train[0], train.grid, train.times)
    input = fit_normalizer(config.data.input_normalizer, (u for u, _ in _blocks(train)))
    output = fit_normalizer(config.data.target_normalizer, (target for _, target in _blocks(train)))
    if isinstance(model, AbstractTrajectoryOperator):
        _check_states(config.data, model, train)
        output = input.repeated(len(model.times))  # its outputs are states like its input
    if getattr(model, "boundary_condition", None) and np.any(output.shift_and_scale()[0]):
        raise ConfigError(
            f"data.target_normalizer {config.data.target_normalizer!r} moves the zeros of model.boundary_condition "
            f"{config.model.options['boundary_condition']!r}. Use 'rms' or 'identity'."
        )
    normalize = jax.jit(jax.vmap(output.normalize))
    return Normalized(model.fit_outputs(np.asarray(normalize(target)) for _, target in _blocks(train)), input, output)


def build_model(config: ExperimentConfig, sample: Any, grid: Grid, times: tuple[float, ...]) -> AbstractOperator:
    """The operator of the configuration for samples like this one, of which only the shapes count."""
    return models.build(
        {"kind": config.model.kind, **config.model.options},
        key=stream(config.seed, "init"),
        in_channels=sample.inputs["u"].shape[0],
        out_channels=sample.target.shape[0],
        num_dims=grid.num_dims,
        sensors=grid.shape,
        times=times or None,
    )


def _check_states(data: DataConfig, model: AbstractTrajectoryOperator, train: HDF5Dataset) -> None:
    """Raises `ConfigError` unless the targets are later states of the input, at the times of the model."""
    if data.input != data.target or data.input_normalizer != data.target_normalizer:
        raise ConfigError(
            f"a {type(model).__name__} returns states like its input, got data.input {list(data.input)} with the normalizer "
            f"{data.input_normalizer!r} and data.target {list(data.target)} with {data.target_normalizer!r}. Make both the same."
        )
    if train.times and not models.same_times(model.times, train.times):
        raise ConfigError(
            f"model.times {list(model.times)} are not those of the target's frames, {[round(t, 6) for t in train.times]}. Leave "
            "them out, and choose frames by data.target_time."
        )


def _blocks(dataset: HDF5Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(dataset), _BLOCK):
        samples = [dataset[index] for index in range(start, min(start + _BLOCK, len(dataset)))]
        yield np.stack([sample.inputs["u"] for sample in samples]), np.stack([sample.target for sample in samples])


def _mesh(config: ExperimentConfig, train: HDF5Dataset, operator: Normalized) -> DeviceMesh | None:
    """The devices that the configuration names, `None` for a single one.

    **Raises:** `ConfigError` if they are not there, or cannot share this training.
    """
    wanted = config.mesh
    if wanted.data == wanted.space == 1 and jax.process_count() == 1:
        return None
    if jax.process_count() > 1 and config.training.nonfinite == "rollback":
        raise ConfigError("training.nonfinite 'rollback' is for one process. Use --training.nonfinite skip, or stop.")
    mesh = DeviceMesh.create(wanted.data, wanted.space, shard_above=wanted.shard_parameters_above)
    mesh.check_sizes(config.data.batch_size, train.grid.shape)
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
    if mesh.space > 1:
        _check_division(mesh, operator, np.asarray(train[0].inputs["u"]))
    return mesh


def _check_division(mesh: DeviceMesh, operator: Normalized, u: np.ndarray) -> None:
    """Raises `ModelInputError` if the operator cannot share fields like `u` among the devices; traces only."""
    blocks = PartitionSpec(DATA, None, SPACE)
    divided = jax.shard_map(lambda u: operator.batched(u), mesh=mesh.mesh, in_specs=blocks, out_specs=blocks)
    jax.eval_shape(divided, jax.ShapeDtypeStruct((mesh.data, *u.shape), u.dtype))


def solves_equations(operator: AbstractOperator) -> str:
    """The class of a module anywhere in an operator that solves equations in loops of unknown length; empty without any."""
    is_solver = lambda node: isinstance(node, _SOLVING)
    found = filter(is_solver, jax.tree.leaves(operator, is_leaf=is_solver))
    return next((type(node).__name__ for node in found), "")


def _interval(
    config: ExperimentConfig,
    train: HDF5Dataset,
    operator: Normalized,
    optimizer: optax.GradientTransformation,
    mesh: DeviceMesh | None,
) -> Interval:
    """The compiled intervals, on device memory or on a stream of batches as `data.loader` says."""
    batch_size, accumulate = config.data.batch_size, config.optimizer.accumulate
    micro_batch = choose_micro_batch(config, operator, train.grid, batch_size)
    step = build_step(config, operator, train.grid, optimizer, micro_batch, mesh)
    data_key, noise_key = stream(config.seed, "data"), stream(config.seed, "noise")
    sample = train[0]
    if on_device(config.data, len(train) * (sample.inputs["u"].nbytes + sample.target.nbytes)):
        return DeviceInterval(step, DeviceData.load(train), batch_size, data_key, noise_key, accumulate, mesh)
    seed = int(jax.random.bits(data_key, dtype="uint32")) >> 1
    batches = data.grain_batches(train, batch_size, seed, share=(0, 1) if mesh is None else mesh.share)
    return StreamInterval(step, batches, noise_key, accumulate, mesh)


def on_device(config: DataConfig, num_bytes: int) -> bool:
    """Whether a training split of so many bytes is held in device memory."""
    return config.loader == "device" or (config.loader == "auto" and num_bytes <= _DEVICE_BYTES)


def build_step(
    config: ExperimentConfig,
    operator: Normalized,
    grid: Grid,
    optimizer: optax.GradientTransformation,
    micro_batch: int,
    mesh: DeviceMesh | None = None,
) -> Step:
    """The training step of the configuration; `micro_batch` and `mesh` as in `make_step`."""
    compare = losses.per_patch(losses.LOSSES[config.loss.kind], config.loss.patch_levels)
    compare = functools.partial(compare, grid=grid)
    if config.loss.penalty != "none":
        check_penalty(operator, config.loss.penalty)
        loss = penalized(compare, config.loss.penalty, config.loss.penalty_weight)
    else:
        loss = supervised(compare)
    plan = config.training
    return make_step(
        loss,
        optimizer,
        ema=plan.ema,
        micro_batch=micro_batch,
        accumulate=config.optimizer.accumulate,
        augment=_augmentation(config),
        guard=GuardRule(plan.nonfinite == "skip", plan.spike_factor, plan.max_skips_in_a_row, plan.max_skips),
        mesh=mesh,
        precision=None if plan.precision == "full" else plan.precision,
        rematerialized=plan.rematerialized,
    )


def _augmentation(config: ExperimentConfig) -> Callable[..., tuple[jax.Array, jax.Array]] | None:
    return functools.partial(data.augment, config.data.augment) if config.data.augment else None


def choose_micro_batch(config: ExperimentConfig, operator: Normalized, grid: Grid, batch_size: int, *, members: int = 1) -> int:
    """Samples computed at once: what the configuration says, else what fits the cache, but with batch norm always a batch.

    `members` operators that are computed together share the cache.

    **Raises:** `ConfigError` if batch norm would see less than a batch.
    """
    chosen = config.training.micro_batch
    if not models.has_batch_norm(operator):
        return chosen or models.automatic_micro_batch(operator, grid.shape, batch_size, members=members)
    if chosen not in (0, batch_size):
        raise ConfigError(
            f"training.micro_batch {chosen} would change the statistics of batch norm, which are those of {batch_size} samples. "
            "Leave it out, or use --model.norm group."
        )
    return batch_size
