"""What may change between two parts of one run."""

from neuralop_jax.config import ExperimentConfig, config_difference
from neuralop_jax.errors import ConfigError

_FREE = (
    "steps",
    "log_every",
    "save_every",
    "evaluate_every",
    "keep",
    "loggers",
    "early_stop_split",
    "early_stop_patience",
    "micro_batch",
    "rematerialized",
    "nonfinite",
    "spike_factor",
    "max_skips",
    "max_skips_in_a_row",
    "on_save_error",
)
"""Options of `[training]` that a resumed run may change: its length, its intervals, what it logs, what happens when
something fails, and what changes nothing but round-off.

It may also go on on any number of devices, and with held-out samples that are training samples.
"""


def check_changes(stored: ExperimentConfig, config: ExperimentConfig, where: str, *, force: bool) -> list[str]:
    """The options in which a resumed run differs from what was stored; `ConfigError` if one of them needs `force`."""
    changes = config_difference(stored, config)
    free = {"data.shared_samples", *(f"training.{name}" for name in _FREE)}
    names = [line.partition(" ")[0] for line in changes]
    refused = [line for line, name in zip(changes, names, strict=True) if name not in free and not name.startswith("mesh.")]
    if refused and not force:
        raise ConfigError(
            f"{where} was trained with another configuration: {'; '.join(refused)}. Resume with the same, allow it with --force, "
            "or train in another directory with --out."
        )
    return changes
