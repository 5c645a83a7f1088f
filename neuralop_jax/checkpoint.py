"""Save and load operators: weights, normalizers and everything needed to build them again, in one directory."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from neuralop_jax import models
from neuralop_jax._checkpoint_record import DamagedCheckpoint as DamagedCheckpoint, SavedOperator, check_record, check_sizes
from neuralop_jax._checkpoint_store import (
    CheckpointStore as CheckpointStore,
    fill as fill,
    path_name as path_name,
)
from neuralop_jax._checks import shortened
from neuralop_jax.errors import CheckpointError, NeuralOpError
from neuralop_jax.info import DatasetInfo
from neuralop_jax.models import AbstractOperator, Normalized
from neuralop_jax.normalizers import normalizer_from_json


def load(path: str | Path, *, step: int | None = None, strict: bool = False) -> AbstractOperator:
    """The operator that a training run or `save_model` left in a directory, built and filled from nothing but its files.

    Every leaf is compared with its sha256. Of a run with averaged weights it is these that are loaded.

    **Arguments:**

    - `path`: a run directory, or the directory given to `save_model`.
    - `step`: the training step; the newest by default.
    - `strict`: refuses a damaged step; by default the one before is taken, with a warning.

    **Returns:** the operator as it was saved; from a run it is a `Normalized` operator, from physical units to physical units.
    Its specification is `models.spec_of(operator)`, its data are `load_info(path)`.

    **Raises:** `CheckpointError` if there is no checkpoint, it is damaged, or it was written by a newer version.

    !!! example

        ```python
        import tempfile

        import jax
        import jax.numpy as jnp

        from neuralop_jax import checkpoint
        from neuralop_jax.models import FNO

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        with tempfile.TemporaryDirectory() as directory:
            checkpoint.save_model(directory, model)
            loaded = checkpoint.load(directory)
        u = jnp.ones((1, 8))
        assert (loaded(u) == model(u)).all()
        ```
    """
    with _open(path) as store:

        def read(step: int) -> AbstractOperator:
            record, arrays = store.read(step, ("model", "ema"))
            where = f"{store.directory}/{step}"
            check_record(SavedOperator, record, where)
            return _build(record["operator"], arrays.get("model", {}) | arrays.get("ema", {}), where)

        if step is None:
            return store.newest(read, strict=strict)
        if step not in store.steps():
            raise CheckpointError(
                f"{path} has no checkpoint of step {step}. Found: {', '.join(map(str, store.steps())) or 'none'}."
            )
        return read(step)


def load_info(path: str | Path) -> DatasetInfo | None:
    """What a run or `save_model` recorded of the data: names, units, grids, citation; `None` if nothing was.

    !!! example

        ```python
        from neuralop_jax.checkpoint import load_info

        def citation(run):
            info = load_info(run)
            return info.citation if info else ""
        ```
    """
    with _open(path) as store:

        def read(step: int) -> DatasetInfo | None:
            record, where = store.read(step, ())[0], f"{store.directory}/{step}"
            check_record(SavedOperator, record, where)
            info = record["operator"]["info"]
            with _refused(where):
                return None if info is None else DatasetInfo.from_json(info)

        return store.newest(read)


def save_model(path: str | Path, model: AbstractOperator, info: DatasetInfo | None = None) -> None:
    """Writes an operator, with what is known of its data, into a new directory from which `load` makes an equal one.

    **Arguments:**

    - `path`: a directory that is empty or not there.
    - `model`: an operator of a registered class, `Normalized` or bare.
    - `info`: the dataset it was trained on.

    **Raises:** `CheckpointError` if `path` is in the way or cannot be written; `ConfigError` if the class is not registered.
    """
    path = Path(path)
    record = {"operator": operator_record(model, info)}
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise CheckpointError(f"{path} exists and is not overwritten. Choose another path, or move it away.")
    with CheckpointStore(path) as store:
        store.save(0, {"model": model}, record)


def operator_record(model: AbstractOperator, info: DatasetInfo | None = None) -> dict[str, Any]:
    """What has to stand beside the arrays of an operator to build it again: JSON types only.

    !!! example

        ```python
        import json

        import jax
        from neuralop_jax.checkpoint import operator_record
        from neuralop_jax.models import FNO

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        assert json.loads(json.dumps(operator_record(model)))
        ```
    """
    normalizers = {"input": model.input.to_json(), "output": model.output.to_json()} if isinstance(model, Normalized) else None
    return {"spec": models.spec_of(model), "normalizers": normalizers, "info": None if info is None else info.to_json()}


def _open(path: str | Path) -> CheckpointStore:
    inside = Path(path) / "checkpoints"
    return CheckpointStore(inside if os.path.isdir(inside) else path, read_only=True)


def _build(record: dict[str, Any], arrays: dict[str, Any], where: str) -> AbstractOperator:
    def build() -> AbstractOperator:
        model = models.build(record["spec"], key=jax.random.key(0))
        if record["normalizers"] is None:
            return model
        return Normalized(model, *(normalizer_from_json(record["normalizers"][name]) for name in ("input", "output")))

    check_sizes(record["spec"], sum(leaf.size for leaf in arrays.values()), where)
    with _refused(where):
        skeleton = eqx.filter_eval_shape(build)
    return fill(_as_saved(skeleton, arrays, where), arrays, where)


@contextlib.contextmanager
def _refused(where: str) -> Iterator[None]:
    """Turns whatever the constructors make of wrong contents of a record into a line about the step `where`."""
    try:
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, NeuralOpError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"{where} holds what this version cannot build: {shortened(reason, 600).rstrip('.')}. Use the version, and the "
            "modules, that wrote it, or restore it from a copy."
        ) from error


def _as_saved(skeleton: Any, arrays: dict[str, Any], where: str) -> Any:
    """The skeleton in the precision that was saved, whatever is the default here.

    **Raises:** `CheckpointError` if JAX is not set to hold numbers of that precision.
    """

    def retype(path: Any, leaf: Any) -> Any:
        saved = arrays.get(path_name(path))
        if saved is None or not isinstance(leaf, jax.ShapeDtypeStruct) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        if jax.dtypes.canonicalize_dtype(saved.dtype) != saved.dtype:
            raise CheckpointError(
                f"{where} holds {saved.dtype} numbers, which JAX would shorten. Set JAX_ENABLE_X64=1 and load again."
            )
        return jax.ShapeDtypeStruct(leaf.shape, saved.dtype)

    return jax.tree_util.tree_map_with_path(retype, skeleton)
