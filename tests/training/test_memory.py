"""The line about memory that ran out."""

import jax
import numpy as np
import pytest

from neuralop_jax.errors import NeuralOpError, OutOfMemoryError
from neuralop_jax.training._memory import memory_errors, wanted_bytes

XLA = "RESOURCE_EXHAUSTED: Out of memory allocating 40000000000000 bytes."


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (XLA, 40_000_000_000_000),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12884901888 bytes.", 12_884_901_888),
        ("Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64", round(7.45 * 2**30)),
        ("RESOURCE_EXHAUSTED: Failed to allocate request for 1.50MiB (1572864B) on device ordinal 0", None),
        ("", None),
    ],
)
def test_wanted_bytes(text, number):
    assert wanted_bytes(text) == number


def message(configure, tmp_path, error, **options):
    with pytest.raises(OutOfMemoryError) as caught, memory_errors(configure(**options), tmp_path / "checkpoints"):
        raise error
    assert isinstance(caught.value, NeuralOpError) and isinstance(caught.value, MemoryError)
    assert caught.value.__cause__ is error
    return str(caught.value)


def test_bytes_samples_resolution_and_remedies(configure, tmp_path):
    assert message(configure, tmp_path, jax.errors.JaxRuntimeError(XLA)) == (
        "out of memory: 40,000,000,000,000 bytes wanted, a step has 4 samples of 8 = 8 points; no checkpoint yet. Try "
        "--training.micro-batch 2, --data.batch-size 2, --training.rematerialized true, --data.loader grain, which leaves the data on "
        "the disk, a smaller model.width, or a grid of fewer points."
    )


def test_remedies_that_are_taken_are_not_given(configure, tmp_path):
    (tmp_path / "checkpoints/4").mkdir(parents=True)
    (tmp_path / "checkpoints/12").mkdir()
    (tmp_path / "checkpoints/16.partial").mkdir()
    options = {
        "training": {"micro_batch": 1, "rematerialized": True},
        "data": {"loader": "grain", "batch_size": 4},
        "optimizer": {"accumulate": 3},
    }
    assert message(configure, tmp_path, np._core._exceptions._ArrayMemoryError((10**9,), np.dtype("float64")), **options) == (
        "out of memory: 8,000,000,000 bytes wanted, a step has 12 samples of 8 = 8 points, 1 at once; last checkpoint: step 12. "
        "Try --data.batch-size 2, a smaller model.width, or a grid of fewer points."
    ).replace("8,000,000,000", f"{round(7.45 * 2**30):,}")


def test_a_remedy_is_one_that_the_configuration_takes(configure, tmp_path):
    config = configure(optimizer={"accumulate": 4}, data={"batch_size": 4})
    with (
        pytest.raises(OutOfMemoryError, match="Try --training.micro-batch 2, --data.batch-size 2, "),
        memory_errors(config, tmp_path),
    ):
        raise MemoryError
    configure(optimizer={"accumulate": 4}, data={"batch_size": 4}, training={"micro_batch": 2})


@pytest.mark.parametrize(
    "error", [RuntimeError("INTERNAL: something else"), ValueError("RESOURCE_EXHAUSTED"), OutOfMemoryError("a")]
)
def test_other_errors_stay(configure, tmp_path, error):
    with pytest.raises(type(error)) as caught, memory_errors(configure(), tmp_path):
        raise error
    assert caught.value is error
