"""From a configuration to everything that a training needs, with every check that can be made before the first step."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax

from neuralop_jax import data, losses, models
from neuralop_jax._typing import PRNGKey
from neuralop_jax.config import DataConfig, ExperimentConfig
from neuralop_jax.data import DeviceData, HDF5Dataset
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo
from neuralop_jax.models import AbstractOperator, AbstractTrajectoryOperator, Normalized
from neuralop_jax.normalizers import fit_normalizer
from neuralop_jax.training._calibration import Calibration
from neuralop_jax.training._guard import GuardRule
from neuralop_jax.training._interval import DeviceInterval, Interval, StreamInterval
from neuralop_jax.training._mesh import DeviceMesh
from neuralop_jax.training._optimizers import make_optimizer
from neuralop_jax.training._penalized import check_penalty, penalized
from neuralop_jax.training._setup_checks import check_batches, check_mesh, check_splits, check_states, check_step, sample_shapes
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._step import Step, make_step, supervised

_STREAMS = {"init": 0, "data": 1, "noise": 2, "calibration": 3}
_DEVICE_BYTES = 2**31
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

    def fingerprints(self) -> dict[str, str]:
        """What tells the data of each split from others, by its name."""
        splits = {self.train.split: self.train, **self.held_out}
        return {f"split {name!r}": dataset.fingerprint[:12] for name, dataset in splits.items()}


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
    check_batches(config, len(train))
    held_out = {name: open_split(config.data, name) for name in train.info.splits if name != train.split}
    operator = _build(config, train)
    refused = check_splits(config, train.info, operator)
    held_out = {name: split for name, split in held_out.items() if name not in refused}
    left_out = tuple(f"{name} is left out: {reason}." for name, reason in refused.items())
    if config.data.shared_samples == "error":
        shared = data.shared_samples(
            config.data.path, train.split, train.pairing.input, among=held_out, num_dims=train.grid.num_dims
        )
        refuse_shared(config.data, train.info, shared)
    mesh = _mesh(config, train, operator)
    optimizer = make_optimizer(config.optimizer, config.training.steps)
    interval = _interval(config, train, operator, optimizer, mesh)
    initial = lambda: TrainState.create(operator, optimizer, averaged=config.training.ema > 0)
    if mesh is not None and mesh.space > 1:
        sample = sample_shapes(config.data, train.info, train.split)
        check_step(config, interval.step, eqx.filter_eval_shape(initial), sample)
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


def open_split(config: DataConfig, split: str) -> HDF5Dataset:
    """A split of the file that a configuration names, with its fields and frames."""
    times = {"input_time": config.input_time, "target_time": config.target_time}
    reading = {"nonfinite": config.nonfinite, "num_dims": config.num_dims}
    return HDF5Dataset(config.path, split, config.input, config.target, **times, **reading)


def _build(config: ExperimentConfig, train: HDF5Dataset) -> Normalized:
    """The operator of the configuration between normalizers of the training split."""
    model = build_model(config, train[0], train.grid, train.times)
    input = fit_normalizer(config.data.input_normalizer, (u for u, _ in _blocks(train)))
    output = fit_normalizer(config.data.target_normalizer, (target for _, target in _blocks(train)))
    check_states(config.data, model, train.times)
    if isinstance(model, AbstractTrajectoryOperator):
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
    check_mesh(config, mesh, operator, train.grid.shape)
    return mesh


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
