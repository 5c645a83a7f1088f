"""Numbered checkpoints in one directory: named trees of arrays beside a JSON record, written whole, verified when read."""

import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from neuralop_jax._version import __version__
from neuralop_jax.errors import CheckpointError

FORMAT = 1
"""Version of the layout described in `CheckpointStore`; a newer one is refused."""

T = TypeVar("T")
Arrays = dict[str, np.ndarray]
_TRASH = "trash"


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=4)


class DamagedCheckpoint(CheckpointError):
    """The files of one checkpoint are missing, cut or altered; another step may be whole."""


class CheckpointStore:
    """Numbered checkpoints in one directory: named trees of arrays beside a JSON record, written whole, verified when read.

    Orbax writes the arrays, one item per tree, in a temporary directory that is renamed at the end: a process killed at any
    moment leaves the newest complete step. The item `meta` holds the number of the format, the record, and the path, shape, type
    and sha256 of every leaf, because Orbax does not notice altered data. Static fields and functions are not stored: the record
    has to say how to build the tree that the arrays go into. Nothing is ever unpickled.

    **Arguments:**

    - `directory`: where the steps are; made when missing.
    - `keep`: the newest steps to keep; all if `None`.
    - `read_only`: leaves the directory as it is. Only one process may write at a time; see `training.RunDirectory`.

    !!! example

        ```python
        import tempfile

        import jax.numpy as jnp

        from neuralop_jax.checkpoint import CheckpointStore

        with tempfile.TemporaryDirectory() as directory, CheckpointStore(directory) as store:
            store.save(3, {"model": {"w": jnp.ones(2)}}, {"note": "three"})
            record, arrays = store.read(3)
        assert record == {"note": "three"} and arrays["model"]["['w']"].tolist() == [1, 1]
        ```
    """

    def __init__(self, directory: str | Path, *, keep: int | None = None, read_only: bool = False):
        import orbax.checkpoint as ocp  # takes two seconds to import, and a library without checkpoints does not need it

        self._ocp, here = ocp, jax.process_index()
        self.directory = Path(directory)
        if read_only and not self.directory.is_dir():
            raise CheckpointError(f"no checkpoints: {directory} is not a directory. Name a run, or what save_model wrote.")
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            todelete_subdir=None if read_only else _TRASH,  # a step leaves by one rename: none is ever half deleted
            cleanup_tmp_directories=not read_only,
            enable_async_checkpointing=False,
            create=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(here, {here}, f"process_{here}"),  # waits for no other
        )
        try:
            if not read_only:
                self.directory.mkdir(parents=True, exist_ok=True)
                self._empty_trash()
            self._manager = ocp.CheckpointManager(self.directory.absolute(), options=options)
        except OSError as error:
            raise CheckpointError(f"{directory} cannot hold checkpoints: {error}. Check the path and its rights.") from error

    def __enter__(self) -> "CheckpointStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._manager.close()

    def steps(self) -> list[int]:
        """The steps that were written completely, in rising order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, trees: Mapping[str, PyTree], record: Mapping[str, Any]) -> None:
        """Writes the arrays of `trees` and `record` (JSON types) as step `step`, and returns when they are on disk.

        **Raises:** `CheckpointError` if the disk refuses; the steps written before are whole then.
        """
        arrays = {name: arrays_of(tree) for name, tree in trees.items()}
        table = {name: {path: _entry(leaf) for path, leaf in leaves.items()} for name, leaves in arrays.items()}
        meta = {"format": FORMAT, "version": __version__, "record": dict(record), "leaves": table}
        items: dict[str, Any] = {"meta": self._ocp.args.JsonSave({**meta, "sha256": _sha256_of_json(meta)})}
        for name, leaves in arrays.items():
            if stored := {path: leaf for path, leaf in leaves.items() if leaf.size}:  # Orbax refuses what is empty
                items[name] = self._ocp.args.PyTreeSave(stored)
        try:
            self._manager.save(step, args=self._ocp.args.Composite(**items), force=True)
            self._empty_trash()
        except (OSError, ValueError) as error:
            needed = sum(leaf.nbytes for leaves in arrays.values() for leaf in leaves.values())
            free = shutil.disk_usage(self.directory).free
            raise CheckpointError(
                f"{self.directory / str(step)} cannot be written ({_first_line(error)}); it needs {needed / 1e6:.1f} MB, "
                f"{free / 1e6:.1f} MB are free. Earlier steps are whole: make room and resume."
            ) from error

    def read(self, step: int, names: tuple[str, ...] | None = None) -> tuple[dict[str, Any], dict[str, Arrays]]:
        """The record of a step and, by tree and path, the arrays of the trees called `names` (those there are; all by default).

        **Raises:** `CheckpointError` if a newer format wrote the step, `DamagedCheckpoint` if any byte that counts has changed.
        """
        try:
            return self._read(step, names)
        except CheckpointError:
            raise
        except Exception as error:  # whatever the readers of four file formats make of damaged bytes
            raise DamagedCheckpoint(f"{self.directory / str(step)} is damaged ({_first_line(error)})") from error

    def newest(self, use: Callable[[int], T], *, strict: bool = False, warn: Callable[[str], None] = _warn) -> T:
        """What `use(step)` makes of the newest step that is not damaged.

        **Arguments:**

        - `use`: reads a step.
        - `strict`: raises at the first damaged step instead of going back to the one before.
        - `warn`: told about every damaged step, in one line.

        **Raises:** `CheckpointError` if there is no step left.
        """
        steps = self.steps()[::-1]
        for step, before in zip(steps, [*steps[1:], None], strict=False):
            try:
                return use(step)
            except DamagedCheckpoint as error:
                if strict or before is None:
                    raise CheckpointError(
                        f"{error}, and no earlier one is left to use. Restore it from a copy, or train again."
                    ) from error
                warn(f"{error}. Step {before} is used instead.")
        raise CheckpointError(f"{self.directory} holds no checkpoint: nothing was saved yet. Train longer, or name another run.")

    def discard_after(self, step: int) -> None:
        """Removes the steps above `step`, damaged ones that a continued run will write anew."""
        for later in self.steps():
            if later > step:
                self._manager.delete(later)
        self._empty_trash()

    def _read(self, step: int, names: tuple[str, ...] | None) -> tuple[dict[str, Any], dict[str, Arrays]]:
        ocp = self._ocp
        meta = dict(self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"])
        if meta["format"] > FORMAT:
            raise CheckpointError(
                f"{self.directory / str(step)} has format {meta['format']}, written by neuralop_jax {meta['version']}; this is "
                f"{__version__}, which reads up to format {FORMAT}. Install the newer version."
            )
        if meta.pop("sha256") != _sha256_of_json(meta):
            raise DamagedCheckpoint(f"{self.directory / str(step)} is damaged (meta: sha256 mismatch)")
        tables = {name: table for name, table in meta["leaves"].items() if names is None or name in names}
        arrays: dict[str, Arrays] = {}
        for name, table in tables.items():
            leaves = {path: np.zeros(entry["shape"], entry["dtype"]) for path, entry in table.items() if 0 in entry["shape"]}
            wanted = {path: ocp.RestoreArgs(restore_type=np.ndarray) for path in table if path not in leaves}
            if wanted:  # as NumPy arrays, whatever devices they were saved from
                args = ocp.args.Composite(**{name: ocp.args.PyTreeRestore(restore_args=wanted)})
                leaves |= {path: np.asarray(leaf) for path, leaf in self._manager.restore(step, args=args)[name].items()}
            arrays[name] = {path: leaves[path] for path in table}
            for path, entry in table.items():
                if _entry(arrays[name][path]) != entry:
                    raise DamagedCheckpoint(f"{self.directory / str(step)} is damaged ({path}: sha256 mismatch)")
        return meta["record"], arrays

    def _empty_trash(self) -> None:
        shutil.rmtree(self.directory / _TRASH, ignore_errors=True)


def arrays_of(tree: PyTree) -> Arrays:
    """The array leaves of a tree by their paths, such as `model.blocks[0].conv.weight`, as NumPy arrays."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {path_name(path): np.asarray(leaf) for path, leaf in leaves}


def fill(template: PyTree, arrays: Arrays, where: str) -> PyTree:
    """`template` with `arrays` in place of its arrays or `jax.ShapeDtypeStruct`s; paths, shapes and types must agree.

    **Raises:** `CheckpointError` that names `where` and every leaf that differs.
    """
    is_leaf = lambda x: eqx.is_array(x) or isinstance(x, jax.ShapeDtypeStruct)
    wanted, rest = eqx.partition(template, is_leaf)
    leaves, structure = jax.tree_util.tree_flatten_with_path(wanted)
    here = {path_name(path): _described(leaf) for path, leaf in leaves}
    there = {path: _described(leaf) for path, leaf in arrays.items()}
    if here != there:
        differ = [path for path in (here | there) if here.get(path) != there.get(path)]
        listed = "; ".join(f"{p} stored {there.get(p, 'nothing')}, wanted {here.get(p, 'nothing')}" for p in differ[:5])
        more = f"; and {len(differ) - 5} more" if len(differ) > 5 else ""
        number = f"{len(differ)} leaf differs" if len(differ) == 1 else f"{len(differ)} leaves differ"
        raise CheckpointError(f"{where} does not fit this model ({number}): {listed}{more}. Build the model that was saved.")
    return eqx.combine(jax.tree_util.tree_unflatten(structure, [jnp.asarray(arrays[path]) for path in here]), rest)


def path_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf as text, such as `model.blocks[0].conv.bias`."""
    return re.sub(r"^\.", "", jax.tree_util.keystr(path)) or "value"


def _described(leaf: Any) -> str:
    return f"{tuple(leaf.shape)} {np.dtype(leaf.dtype).name}"


def _entry(leaf: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest()
    return {"shape": list(leaf.shape), "dtype": leaf.dtype.name, "sha256": digest}


def _sha256_of_json(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"
