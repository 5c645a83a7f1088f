"""The configuration of an experiment: frozen dataclasses, read from TOML, stored as JSON, overridden by dotted options."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from neuralop_jax import _config_loader
from neuralop_jax._config_values import Bounds, Instead, NotEmpty, check_fields
from neuralop_jax._frames import frames
from neuralop_jax.errors import ConfigError

_POSITIVE, _NOT_NEGATIVE, _COUNT = Bounds(above=0.0), Bounds(at_least=0.0), Bounds(at_least=1.0)
_MOST_BATCHES = 2**31 - 1
"""Batches are counted by integers of 32 bits."""
_SINGLE = Instead(("float32", "fp32", "single"), "Use 'full': activations are float32, as the data.")
_DOUBLE = Instead(
    ("float64", "fp64", "double"),
    "Leave it 'full' and set JAX_ENABLE_X64=1 for weights and optimizer in float64; activations are float32, as the data.",
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What is read, how it is batched and in which units the network sees it."""

    path: Annotated[str, NotEmpty()]
    """The HDF5 file, relative to the working directory."""
    input: Annotated[tuple[str, ...], NotEmpty()]
    """Names of the fields that form the input function, stacked along the channel axis."""
    target: Annotated[tuple[str, ...], NotEmpty()]
    """Names of the fields to predict, stacked along the channel axis."""
    input_time: str = "all"
    """Frames of time-varying input fields: all (as channels, frame by frame), first, last, or a range such as 0:10 or 2::2."""
    target_time: str = "all"
    """Frames of time-varying target fields, likewise."""
    num_dims: Annotated[int, Bounds(at_least=0.0, below=5.0)] = 0
    """Space axes of the fields in a plain file, where an axis before them holds channels; 0 tells by the shapes."""
    train_split: Annotated[str, NotEmpty()] = "train"
    """The split to train on; every other split is evaluated."""
    batch_size: Annotated[int, _COUNT] = 20
    """Samples of a batch; a step takes `optimizer.accumulate` of them."""
    input_normalizer: Literal["gaussian", "range", "rms", "identity"] = "gaussian"
    """Normalizer of the input, per channel, fitted on the training split."""
    target_normalizer: Literal["gaussian", "range", "rms", "identity"] = "gaussian"
    """Normalizer of the target, likewise."""
    augment: tuple[Literal["transpose", "reflect"], ...] = ()
    """Symmetries of the equation to draw at random in training."""
    loader: Literal["auto", "device", "grain"] = "auto"
    """Where batches come from: the whole split in device memory, or a Grain pipeline; auto takes the device below 2 GiB."""
    nonfinite: Literal["error", "drop"] = "error"
    """What to do with samples that hold NaN or infinity."""
    shared_samples: Literal["error", "allow"] = "error"
    """What to do if held-out samples have the input of a training sample."""

    def __post_init__(self):
        check_fields(self, "data")
        frames(self.input_time, name="data.input_time")
        frames(self.target_time, name="data.target_time")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A registered model and its options; channels and dimensions are filled in from the data."""

    kind: Annotated[str, NotEmpty()] = "fno"
    """Name in the registry."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the model's constructor; in TOML and on the command line they stand beside `kind`."""

    def __post_init__(self):
        check_fields(self, "model")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The training loss, on physical units, averaged over the batch."""

    kind: Literal["relative_l2", "relative_h1", "difference_h1", "truncated_h1", "mse", "cross_entropy"] = "relative_l2"
    """Relative norm of the error, L2 or one of H1 (see `losses`), its mean square, or cross-entropy where targets are classes."""
    patch_levels: Annotated[int, Bounds(at_least=0.0, below=31.0)] = 0
    """Compare on 2^levels patches per axis, each by itself, as training without stitching does; 0 compares whole fields."""
    penalty: Literal["none", "error", "stiffness", "local_error", "local_stiffness", "jacobian"] = "none"
    """What makes a solve expensive: of continuous_time models over all of it or at one random time; jacobian of implicit_fno."""
    penalty_weight: Annotated[float, _NOT_NEGATIVE] = 0.0
    """Its factor in the loss."""

    def __post_init__(self):
        check_fields(self, "loss")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The Optax chain: clipping, the rule, weight decay, and the learning rate over time."""

    kind: Literal["adamw", "adam", "sgd", "lion"] = "adamw"
    """The update rule."""
    learning_rate: Annotated[float, _POSITIVE] = 1e-3
    """Peak learning rate, above 0."""
    weight_decay: Annotated[float, _NOT_NEGATIVE] = 1e-4
    """Decoupled (adamw, lion) or added to the gradient (adam, sgd), at least 0."""
    schedule: Literal["constant", "cosine", "step", "one_cycle"] = "cosine"
    """Learning rate over the steps."""
    warmup_steps: Annotated[int, _NOT_NEGATIVE] = 0
    """Steps of linear growth from 0 to the peak (not for one_cycle, which has its own)."""
    decay_steps: Annotated[int, Bounds(at_least=0.0, below=2e9)] = 0
    """Steps between two factors `decay_rate` (step schedule only)."""
    decay_rate: Annotated[float, _POSITIVE] = 0.5
    """Factor of the step schedule."""
    clip: Annotated[float, _NOT_NEGATIVE] = 0.0
    """Largest global norm of the gradient; 0 leaves it alone."""
    accumulate: Annotated[int, _COUNT] = 1
    """Batches whose gradients are averaged into one optimizer step."""

    def __post_init__(self):
        check_fields(self, "optimizer")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Length, evaluation, saving and averaging of a training run.

    **Raises:** `ConfigError` for options that contradict each other.
    """

    steps: Annotated[int, _COUNT] = 1000
    """Optimizer steps in all."""
    log_every: Annotated[int, Bounds(at_least=1.0, below=1e7)] = 50
    """Steps per compiled interval: one log line each, and the unit of saving, evaluating and stopping."""
    evaluate_every: Annotated[int, _NOT_NEGATIVE] = 0
    """Steps between two evaluations of the held-out splits (a multiple of log_every); 0 evaluates at the end only."""
    save_every: Annotated[int, _COUNT] = 500
    """Steps between two checkpoints (a multiple of log_every)."""
    keep: Annotated[int, _COUNT] = 2
    """Newest checkpoints to keep."""
    ema: Annotated[float, Bounds(at_least=0.0, below=1.0)] = 0.0
    """Decay of the averaged weights, which are then the ones evaluated; 0 keeps none."""
    micro_batch: Annotated[int, _NOT_NEGATIVE] = 0
    """Samples whose activations are held at once; gradients are accumulated. 0 chooses by the cache, on CPU only."""
    nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    """At a loss or gradient that is not finite: stop, skip the step, or go on from the newest checkpoint with other batches."""
    spike_factor: Annotated[float, _NOT_NEGATIVE] = 0.0
    """Skip steps whose gradient norm is more than this (above 1) times its running mean; 0 skips none."""
    max_skips: Annotated[int, Bounds(at_least=0.0, below=2e9)] = 100
    """Steps that may be skipped in all; one more counts as diverged."""
    max_skips_in_a_row: Annotated[int, Bounds(at_least=0.0, below=2e9)] = 10
    """Steps that may be skipped in succession, likewise."""
    on_save_error: Literal["stop", "warn"] = "stop"
    """When a checkpoint cannot be written: stop, or go on and try again at the next one (the last one always stops)."""
    loggers: tuple[Literal["tensorboard"], ...] = ()
    """Where the lines of metrics.jsonl go, too; one that fails is left out and never stops a training."""
    precision: Annotated[Literal["full", "bfloat16"], _SINGLE, _DOUBLE] = "full"
    """Type of activations: that of the data, which is float32, or bfloat16 with weights, transforms and loss in float32."""
    rematerialized: bool = False
    """Compute the inside of blocks again for the gradient instead of remembering it: less memory, a third more work."""
    early_stop_split: str = ""
    """Held-out split whose error decides on stopping early; empty never stops early."""
    early_stop_patience: Annotated[int, _COUNT] = 10
    """Evaluations without improvement before stopping."""

    def __post_init__(self):
        check_fields(self, "training")
        if 0 < self.spike_factor <= 1:
            raise ConfigError(
                f"training.spike_factor must be 0 or > 1, got {self.spike_factor:g}: steps of usual size would be skipped. "
                "Use 10 to 100, or 0 to skip none."
            )


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """The devices that share a training; the numbers that come of it do not depend on them, but for round-off."""

    data: Annotated[int, _COUNT] = 1
    """Devices that share the samples of a batch."""
    space: Annotated[int, _COUNT] = 1
    """Devices that share the domain of each sample, cut along its first space axis; of multigrid_patches its rows of patches."""
    shard_parameters_above: Annotated[int, _NOT_NEGATIVE] = 0
    """Numbers of a weight above which it, its average and its optimizer state are cut up along `data`; 0 cuts none."""

    def __post_init__(self):
        check_fields(self, "mesh")


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """Everything that determines a run.

    **Raises:** `ConfigError` for options of one section that contradict those of another.
    """

    data: DataConfig
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    seed: Annotated[int, Bounds(at_least=0.0, below=4e9)] = 0
    """The one seed, from which named streams (`init`, `data`, `noise`) are derived."""

    def __post_init__(self):
        check_fields(self, "")
        rate, training = self.optimizer, self.training
        if (self.loss.penalty == "none") != (self.loss.penalty_weight == 0):
            raise ConfigError(
                f"loss.penalty {self.loss.penalty!r} and loss.penalty_weight {self.loss.penalty_weight:g} contradict each other. "
                "Give both, or none."
            )
        if training.steps * rate.accumulate > _MOST_BATCHES:
            fitting = _MOST_BATCHES // rate.accumulate
            remedy = (
                f"--training.steps {fitting}" if fitting else f"--optimizer.accumulate {_MOST_BATCHES // training.steps or 1}"
            )
            raise ConfigError(
                f"training.steps {training.steps} of optimizer.accumulate {rate.accumulate} batches each are more batches than "
                f"{_MOST_BATCHES}. Use {remedy} at most."
            )
        for name in ("save_every", "evaluate_every"):
            steps = getattr(training, name)
            if steps % training.log_every:
                raise ConfigError(
                    f"training.{name} must be a multiple of training.log_every ({training.log_every}), got {steps}. "
                    f"Use {-(-steps // training.log_every) * training.log_every}."
                )
        if rate.schedule == "step" and rate.decay_steps == 0:
            raise ConfigError("optimizer.schedule 'step' needs optimizer.decay_steps >= 1, got 0.")
        if rate.schedule == "one_cycle" and rate.warmup_steps:
            raise ConfigError(
                f"optimizer.warmup_steps must be 0 for schedule 'one_cycle', which has its own, got {rate.warmup_steps}."
            )
        if rate.warmup_steps >= training.steps:
            raise ConfigError(
                f"optimizer.warmup_steps must be below training.steps ({training.steps}), got {rate.warmup_steps}. "
                f"Use --optimizer.warmup-steps {training.steps // 10}."
            )
        if training.micro_batch > self.data.batch_size:
            raise ConfigError(
                f"training.micro_batch must be at most data.batch_size ({self.data.batch_size}), got {training.micro_batch}."
            )
        if self.mesh.shard_parameters_above and self.mesh.data == 1:
            raise ConfigError(
                f"mesh.shard_parameters_above {self.mesh.shard_parameters_above} cuts weights along mesh.data, which is 1. "
                "Raise --mesh.data, or leave it out."
            )
        if self.mesh.space > 1 and self.data.augment:
            raise ConfigError(
                f"data.augment {list(self.data.augment)} turns whole domains, which mesh.space {self.mesh.space} devices share. "
                "Leave it out, or share the samples along --mesh.data."
            )
        if self.loss.patch_levels and 2**self.loss.patch_levels % self.mesh.space:
            raise ConfigError(
                f"loss.patch_levels {self.loss.patch_levels} makes {2**self.loss.patch_levels} rows of patches, which mesh.space "
                f"{self.mesh.space} devices cannot share evenly. Use a divisor, or share the samples along --mesh.data."
            )
        if self.training.precision != "full" and self.loss.penalty != "none":
            raise ConfigError(f"loss.penalty needs training.precision 'full', got {self.training.precision!r}. Leave it out.")
        if self.loss.kind == "cross_entropy" and self.data.target_normalizer != "identity":
            raise ConfigError(
                "loss.kind 'cross_entropy' reads targets as classes, got data.target_normalizer "
                f"{self.data.target_normalizer!r}. Use --data.target-normalizer identity."
            )
        if training.early_stop_split == self.data.train_split:
            raise ConfigError("training.early_stop_split must be a held-out split, got the training split. Name another.")
        if training.early_stop_split and not training.evaluate_every:
            raise ConfigError("training.early_stop_split needs training.evaluate_every > 0, got 0: nothing would be compared.")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The experiment that a TOML file describes, after dotted options in the words of a command line.

    The file has the sections `[data]`, `[model]`, `[loss]`, `[optimizer]`, `[training]`, `[mesh]` and the key `seed`; the options
    of the model's constructor stand beside its `kind`. Every key and value is checked; the model's own options are checked by
    `models.check_options`, because their names are those of its constructor.

    **Arguments:**

    - `path`: the TOML file.
    - `overrides`: for instance `["--training.steps", "200", "--model.n-modes=16,16", "--data.augment", "transpose"]`; dashes in
        names count as underscores, lists are written `16,16` or `[16,16]`, booleans `true` and `false`, nothing as `null`.

    **Returns:** an `ExperimentConfig`.

    **Raises:** `ConfigError`, one line with the option, its value, what is wanted, where it was set and the nearest known name.

    !!! example

        ```python
        from neuralop_jax.config import load_config

        config = load_config("configs/darcy_small/fno.toml", ["--training.steps", "200"])
        assert config.training.steps == 200
        ```
    """
    return _config_loader.load(ExperimentConfig, Path(path), overrides)


def to_json(config: ExperimentConfig) -> dict[str, Any]:
    """The configuration as nested dictionaries of JSON types, laid out as the TOML file is."""
    tree = dataclasses.asdict(config)
    tree["model"] = {"kind": config.model.kind, **config.model.options}
    return json.loads(json.dumps(tree))


def from_json(tree: Mapping[str, Any], where: str = "config.json") -> ExperimentConfig:
    """The configuration that `to_json` described; `ConfigError` naming `where` if it holds anything else."""
    return _config_loader.build(ExperimentConfig, tree, lambda _: where)


def config_sha256(config: ExperimentConfig) -> str:
    """A sha256 that two configurations share exactly if they are equal."""
    return hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode()).hexdigest()


def config_difference(old: ExperimentConfig, new: ExperimentConfig) -> list[str]:
    """The options in which two configurations differ: `["model.width 32 -> 64", ...]`, in the order of their names.

    !!! example

        ```python
        from neuralop_jax.config import config_difference, config_sha256, from_json, load_config, options_of, to_json

        old = load_config("configs/darcy_small/fno.toml")
        new = load_config("configs/darcy_small/fno.toml", ["--training.steps", "20000"])
        assert config_difference(old, new) == ["training.steps 1500 -> 20000"]
        assert from_json(to_json(new)) == new and config_sha256(new) != config_sha256(old)
        assert options_of(new)["training.steps"] == "20000"
        ```
    """
    before, after = options_of(old), options_of(new)
    return [
        f"{name} {before.get(name, 'unset')} -> {after.get(name, 'unset')}"
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


def options_of(config: ExperimentConfig) -> dict[str, str]:
    """Every option by its dotted name, as JSON text."""
    return _flat(to_json(config))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Every leaf by its dotted name, as JSON text."""
    leaves: dict[str, str] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": json.dumps(value)}
    return leaves
