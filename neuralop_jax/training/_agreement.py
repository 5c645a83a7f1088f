"""What the processes of one training must have in common: the configuration, the data, and nothing in the way of any."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from traceback import walk_tb

import jax
import numpy as np
from jax.experimental import multihost_utils

from neuralop_jax.config import ExperimentConfig, options_of
from neuralop_jax.errors import ConfigError, DataError, NeuralOpError, ProcessError, ProcessLost
from neuralop_jax.training._environment import versions

_MOST_NAMED = 5
_LONGEST = 300
"""Bytes of an error that other processes are told of."""
DEVICE_ERRORS = (RuntimeError, ValueError)
"""What JAX raises for a program that failed: a `JaxRuntimeError`, or where its results are awaited a plain `ValueError`."""
_STATUS = re.compile("(?:ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|UNKNOWN): ")
"""How such an error begins when it comes at once, from a call whose own frames JAX hides."""
_AWAITING = (("jax._src.api", "block_until_ready"), ("jax._src.api", "try_to_block"))
"""Functions that await results, besides the methods of arrays."""


@contextlib.contextmanager
def prepared_by_all(config: ExperimentConfig) -> Iterator[dict[str, str]]:
    """What the processes of a training do in the block, each by itself, either all get done or none goes on; alone, nothing.

    All enter it together, with one configuration, and at its end tell each other how it went. Gives a dictionary for the block to
    fill with what they must have read alike.

    **Raises:** `ConfigError` if the configurations differ, see `check_agreement`; what is raised in the block; `ProcessError` in
    the processes where nothing was, if something was in another; `DataError` if they have read different data; `ProcessLost` if
    one is gone, or as the cause of what was raised in the block.
    """
    check_agreement(config)
    read: dict[str, str] = {}
    try:
        yield read
    except BaseException as error:
        with first_of_all(error):
            _gathered(told(error))
        raise
    failed = [(process, text) for process, text in enumerate(_gathered("")) if text]
    if failed:
        process, text = failed[0]
        raise ProcessError(f"process {process} of {jax.process_count()} failed before the first step: {text}")
    if difference := _difference(read):
        number = jax.process_count()
        raise DataError(
            f"the {number} processes of the run do not read the same data: {difference}. Give all of them the same file."
        )


@contextlib.contextmanager
def first_of_all(error: BaseException) -> Iterator[None]:
    """Within the block others are told of an error of this process. If one is gone, the error comes first, caused by that."""
    try:
        yield
    except ProcessLost as gone:
        raise error from gone


def is_own(error: BaseException) -> bool:
    """Whether an error is one of this process, and not what JAX makes of another that is gone."""
    return isinstance(error, NeuralOpError) or not (isinstance(error, DEVICE_ERRORS) and _comes_from_jax(error))


def _comes_from_jax(error: BaseException) -> bool:
    """Whether the run-time of JAX raised an error: by its class or its status, or because it came where results are awaited.

    An error of a callback has that class, too, and its own traceback inside.
    """
    if isinstance(error, jax.errors.JaxRuntimeError) or _STATUS.match(str(error)):
        return "Traceback (most recent call last)" not in str(error)
    frames = [(frame.f_globals.get("__name__"), frame.f_code.co_name) for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and (frames[-1][0] == "jax._src.array" or frames[-1] in _AWAITING)


def told(error: BaseException) -> str:
    """What other processes are told of an error: the first line of it, and not much of that."""
    line = next(iter(str(error).splitlines()), "")
    text = line if isinstance(error, NeuralOpError) else f"{type(error).__name__}: {line}"
    return text if len(text.encode()) <= _LONGEST else text.encode()[: _LONGEST - 3].decode(errors="ignore") + "..."


def lost(error: BaseException) -> ProcessLost:
    """What to raise in the place of an error in the middle of what all processes compute at once."""
    return ProcessLost(
        f"process {jax.process_index()} of {jax.process_count()} cannot go on with the others: {told(error)}. See what they say; "
        "with --resume the run goes on from its newest checkpoint."
    )


def check_agreement(config: ExperimentConfig) -> None:
    """Compares the configuration, the versions and the number types of all processes, which call this together; alone, nothing.

    Digests are compared; only where they differ, the options themselves are sent.

    **Raises:** `ConfigError`, in every process the same, naming the options that differ.
    """
    if jax.process_count() == 1:
        return
    found = {name: json.dumps(version) for name, version in versions().items()}
    found |= {"jax_enable_x64": json.dumps(bool(jax.config.read("jax_enable_x64"))), **options_of(config)}
    if difference := _difference(found):
        raise ConfigError(
            f"the {jax.process_count()} processes of the run do not want the same: {difference}. Start all with the same "
            "configuration, options and versions."
        )


def _difference(found: Mapping[str, str]) -> str:
    """What differs between the processes, which call this together, each with its own; empty if nothing does."""
    text = json.dumps(found, sort_keys=True)
    if len(set(_gathered(hashlib.sha256(text.encode()).hexdigest()))) == 1:
        return ""
    return disagreement([json.loads(each) for each in _gathered(text)])


def disagreement(options: Sequence[Mapping[str, str]]) -> str:
    """Names what differs between the options of the processes, of each the first process that differs."""
    named = []
    for name in sorted(set().union(*options)):
        first, *others = (each.get(name, "unset") for each in options)
        for process, other in enumerate(others, start=1):
            if other != first:
                named.append(f"{name} is {first} in process 0 and {other} in process {process}")
                break
    more = f"; and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return "; ".join(named[:_MOST_NAMED]) + more


def _gathered(text: str) -> list[str]:
    """The texts of all processes, which call this together."""
    if jax.process_count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    try:
        lengths = multihost_utils.process_allgather(np.asarray(len(own), np.int32))
        padded = np.zeros(max(lengths), np.uint8)
        padded[: len(own)] = own
        texts = multihost_utils.process_allgather(padded) if len(padded) else [padded] * len(lengths)
    except DEVICE_ERRORS as error:
        raise lost(error) from error
    return [row[:length].tobytes().decode() for row, length in zip(texts, lengths, strict=True)]
