"""What the processes of one training must have in common, compared before anything else is done."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from neuralop_jax.config import ExperimentConfig, options_of
from neuralop_jax.errors import ConfigError
from neuralop_jax.training._environment import versions

_MOST_NAMED = 5


def check_agreement(config: ExperimentConfig) -> None:
    """Compares the configuration, the versions and the number types of all processes, which call this together; alone, nothing.

    Digests are compared; only where they differ, the options themselves are sent.

    **Raises:** `ConfigError`, in every process the same, naming the options that differ.
    """
    if jax.process_count() == 1:
        return
    found = {name: json.dumps(version) for name, version in versions().items()}
    found |= {"jax_enable_x64": json.dumps(bool(jax.config.read("jax_enable_x64"))), **options_of(config)}
    text = json.dumps(found, sort_keys=True).encode()
    digests = multihost_utils.process_allgather(np.frombuffer(hashlib.sha256(text).digest(), np.uint8))
    if (digests == digests[0]).all():
        return
    lengths = multihost_utils.process_allgather(np.asarray(len(text), np.int32))
    padded = np.zeros(max(lengths), np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    texts = multihost_utils.process_allgather(padded)
    raise ConfigError(disagreement([json.loads(row[:length].tobytes()) for row, length in zip(texts, lengths, strict=True)]))


def disagreement(options: Sequence[Mapping[str, str]]) -> str:
    """The line that names what differs between the options of the processes, of each the first process that differs."""
    named = []
    for name in sorted(set().union(*options)):
        first, *others = (each.get(name, "unset") for each in options)
        for process, other in enumerate(others, start=1):
            if other != first:
                named.append(f"{name} is {first} in process 0 and {other} in process {process}")
                break
    more = f"; and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return (
        f"the {len(options)} processes of the run do not want the same: {'; '.join(named[:_MOST_NAMED])}{more}. Start all with "
        "the same configuration, options and versions."
    )
