"""What to say when memory runs out: how much was wanted, for what, and what takes less."""

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

from neuralop_jax import data
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.errors import DataError, OutOfMemoryError
from neuralop_jax.models._batched import largest_divisor

_WANTED = re.compile(r"allocat\w*\s+([\d,.]+)\s*(bytes|[KMGTP]i?B)", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


@contextlib.contextmanager
def memory_errors(config: ExperimentConfig, checkpoints: Path) -> Iterator[None]:
    """Within the block, failed allocations of the device or the machine become one line about the training they belong to.

    **Arguments:**

    - `config`: the experiment.
    - `checkpoints`: the directory of its checkpoints, of which the newest is named.

    **Raises:** `OutOfMemoryError` in place of a `MemoryError`, or of a `RuntimeError` that says `RESOURCE_EXHAUSTED`.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(_message(config, checkpoints, str(error))) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocation failed."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error))


def wanted_bytes(text: str) -> int | None:
    """The bytes of the allocation that failed, from the message of XLA or NumPy; `None` if it does not say."""
    found = _WANTED.search(text)
    if found is None:
        return None
    number, unit = float(found[1].replace(",", "").rstrip(".")), found[2].lower()
    return round(number * 1024 ** (0 if unit == "bytes" else _POWERS[unit[0]]))


def _message(config: ExperimentConfig, checkpoints: Path, text: str) -> str:
    number = wanted_bytes(text)
    wanted = "" if number is None else f" {number:,} bytes wanted,"
    whole = config.data.batch_size * config.optimizer.accumulate
    size = config.data.batch_size // config.mesh.data  # samples of a batch on one device
    at_once = min(config.training.micro_batch or size, size)
    remedies = [f"--training.micro-batch {largest_divisor(size, at_once // 2)}"] if at_once > 1 else []
    if size > 1:
        remedies.append(f"--data.batch-size {size // 2 * config.mesh.data}")
    if not config.training.rematerialized:
        remedies.append("--training.rematerialized true")
    if config.data.loader != "grain":
        remedies.append("--data.loader grain, which leaves the data on the disk")
    remedies.append("a smaller model.width, or a grid of fewer points")
    steps = [int(path.name) for path in checkpoints.iterdir() if path.name.isdecimal()] if checkpoints.is_dir() else []
    kept = f"last checkpoint: step {max(steps)}" if steps else "no checkpoint yet"
    return f"out of memory:{wanted} {_samples(config, whole)}; {kept}. Try {', '.join(remedies)}."


def _samples(config: ExperimentConfig, whole: int) -> str:
    """The samples of a step in words, with their resolution where the file tells."""
    at_once = f", {config.training.micro_batch} at once" if config.training.micro_batch else ""
    try:
        names, dims = (*config.data.input, *config.data.target), config.data.num_dims
        info = data.read_info(config.data.path, names, num_dims=dims)
        shape = info.splits[config.data.train_split].grid.shape
    except (DataError, KeyError, MemoryError):
        return f"a step has {whole} samples{at_once}"
    points = "x".join(map(str, shape))
    return f"a step has {whole} samples of {points} = {math.prod(shape):,} points{at_once}"
