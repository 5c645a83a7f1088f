"""Numbered checkpoints in one directory: named trees of arrays beside a JSON record, written whole, verified when read."""

import errno
import hashlib
import json
import math
import os
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

from neuralop_jax._checkpoint_formats import FORMAT, Arrays, migrate
from neuralop_jax._checkpoint_record import DamagedCheckpoint, Leaf, Meta, check_record
from neuralop_jax._checks import shown, shown_path
from neuralop_jax._orbax import quietly, without_pattern
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax._version import __version__
from neuralop_jax._whole_files import whole_directory
from neuralop_jax.errors import CheckpointError

T = TypeVar("T")
_TRASH = "trash"
_OVERHEAD = 2**18
"""Bytes that the files of a step take besides the numbers in them."""
_SIZE_LIMIT, _HARMLESS = 64, 2**28
"""A tree may claim so many times the bytes of its files, for what is zero takes none, and so many bytes besides."""


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=4)


class CheckpointStore:
    """Numbered checkpoints in one directory: named trees of arrays beside a JSON record, written whole, verified when read.

    A step is the directory of its number. It is written as `NUMBER.partial`, forced to disk and renamed; older steps go after
    that, by a rename into `trash`. So a process killed at any moment, and a machine that loses power, leaves the newest complete
    step, and none is ever half deleted. What such an end leaves behind is removed when the store is opened again.

    Orbax writes the arrays, one item per tree. `meta.json`, with its own sha256 beside it, holds the number of the format, the
    record, the path, shape, type and sha256 of every leaf, and the sha256 of every file, because Orbax does not notice altered
    data. Static fields and functions are not stored: the record has to say how to build the tree that the arrays go into. Nothing
    is ever unpickled.

    **Arguments:**

    - `directory`: where the steps are; made when missing.
    - `keep`: the newest steps to keep; all if `None`.
    - `read_only`: leaves the directory as it is. Only one process may write at a time; see `training.RunDirectory`.

    **Attributes:** `cleaned`, the names of what a killed process had left and is removed now.

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

        self._ocp = ocp
        self.directory = Path(directory)
        self.cleaned: tuple[str, ...] = ()
        self._keep = keep
        if read_only and not os.path.isdir(self.directory):
            raise CheckpointError(
                f"no checkpoints: {shown_path(directory)} is not a directory. Name a run, or what save_model wrote."
            )
        try:
            if not read_only:
                self.directory.mkdir(parents=True, exist_ok=True)
                self.cleaned = self._clean()
        except OSError as error:
            raise CheckpointError(f"{directory} cannot hold checkpoints: {error}. Check the path and its rights.") from error
        here = jax.process_index()  # only one process of several writes: it must not wait for the others
        alone = ocp.options.MultiprocessingOptions(
            primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"process_{here}"
        )
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
        self._items = ocp.Checkpointer(handler, multiprocessing_options=alone)

    def __enter__(self) -> "CheckpointStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._items.close()

    def steps(self) -> list[int]:
        """The steps that were written completely, in rising order; none if somebody has removed the directory.

        **Raises:** `CheckpointError` if the system refuses to list them.
        """
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"{self.directory} cannot be read ({_first_line(error)}). The checkpoints in it may be whole: check the path and "
                "its rights."
            ) from error
        return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]{0,17}", name))

    def save(self, step: int, trees: Mapping[str, PyTree], record: Mapping[str, Any]) -> None:
        """Writes the arrays of `trees` and `record` (JSON types) as step `step`, and returns when they are on disk.

        **Raises:** `CheckpointError` if the disk refuses; earlier steps are whole then, and nothing is left of this one.
        """
        arrays = {name: arrays_of(tree) for name, tree in trees.items()}
        table = {name: {path: _entry(leaf) for path, leaf in leaves.items()} for name, leaves in arrays.items()}
        meta: dict[str, Any] = {"format": FORMAT, "version": __version__, "step": step, "record": dict(record), "leaves": table}
        whole = self._path(step)
        if os.path.lexists(whole):
            raise CheckpointError(f"{whole} cannot be written: this step is there already. Choose another directory.")
        needed = _OVERHEAD + sum(leaf.nbytes for leaves in arrays.values() for leaf in leaves.values())
        try:
            self.directory.mkdir(exist_ok=True)  # it may have been removed since
            if shutil.disk_usage(self.directory).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with whole_directory(whole, partial=self.directory / f"{step}.partial") as partial, quietly():
                with without_pattern(partial) as place:
                    for name, leaves in arrays.items():
                        if stored := {path: leaf for path, leaf in leaves.items() if leaf.size}:  # Orbax refuses what is empty
                            self._items.save(place / name, args=self._ocp.args.PyTreeSave(stored))
                meta["files"] = {name: _sha256_of_files(partial / name) for name in arrays}
                content = json.dumps(meta).encode()
                (partial / "meta.json").write_bytes(content)
                (partial / "meta.json.sha256").write_text(hashlib.sha256(content).hexdigest(), encoding="ascii")
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{whole} cannot be written ({_first_line(error)}); it needs about {needed:,} bytes, {_free(self.directory)}. "
                "Earlier steps are whole: make room and resume."
            ) from error
        if self._keep is not None:
            self._remove(self.steps()[: -self._keep])

    def read(self, step: int, names: tuple[str, ...] | None = None) -> tuple[dict[str, Any], dict[str, Arrays]]:
        """The record of a step and, by tree and path, the arrays of the trees called `names` (those there are; all by default).

        What an older format wrote comes as if this version had written it.

        **Raises:** `CheckpointError` if a newer format wrote the step or the system refuses to read it, `DamagedCheckpoint` if a
        byte of it has changed.
        """
        try:
            return self._read(step, names)
        except CheckpointError:
            raise
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise DamagedCheckpoint(f"{self._path(step)} is damaged ({_first_line(error)})") from error
        except (OSError, MemoryError, ImportError) as error:  # of this the bytes are not to blame
            raise CheckpointError(
                f"{self._path(step)} cannot be read ({_first_line(error)}). It may be whole: mend the cause and try again."
            ) from error
        except Exception as error:  # whatever the readers of four file formats make of damaged bytes
            raise DamagedCheckpoint(f"{self._path(step)} is damaged ({_first_line(error)})") from error

    def newest(
        self,
        use: Callable[[int], T],
        *,
        strict: bool = False,
        warn: Callable[[str], None] = _warn,
        before: int | None = None,
    ) -> T:
        """What `use(step)` makes of the newest step that is not damaged.

        **Arguments:**

        - `use`: reads a step.
        - `strict`: raises at the first damaged step instead of going back to the one before.
        - `warn`: told about every damaged step, in one line.
        - `before`: takes the steps below it alone.

        **Raises:** `CheckpointError` if there is no step left.
        """
        steps = [step for step in self.steps()[::-1] if before is None or step < before]
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
        """Removes the steps above `step`, which a continued run will write anew; the newest first, which nobody must take if a
        kill leaves some."""
        self._remove([later for later in self.steps()[::-1] if later > step])

    def _path(self, step: int) -> Path:
        return self.directory / str(step)

    def _read(self, step: int, names: tuple[str, ...] | None) -> tuple[dict[str, Any], dict[str, Arrays]]:
        where = self._path(step)
        meta = _read_meta(where)
        if meta["format"] > FORMAT:
            raise CheckpointError(
                f"{where} has format {meta['format']}, written by neuralop_jax {meta['version']}; this is {__version__}, which "
                f"reads up to format {FORMAT}. Install the newer version."
            )
        if (stored := meta.get("step", step)) != step:  # versions before 0.1.0 did not say it
            raise DamagedCheckpoint(f"{where} is damaged (it is a copy of step {stored})")
        tables = {name: table for name, table in meta["leaves"].items() if names is None or name in names}
        arrays: dict[str, Arrays] = {}
        for name, table in tables.items():
            if not re.fullmatch(r"\w+", name):
                raise DamagedCheckpoint(f"{where} is damaged ({shown(name)} is no name of a tree)")
            if meta["format"] > 1:
                _check_files(where, name, meta.get("files", {}).get(name, {}))
            self._check_shapes(where / name, table)
            leaves = {path: np.zeros(entry["shape"], entry["dtype"]) for path, entry in table.items() if 0 in entry["shape"]}
            as_numpy = self._ocp.RestoreArgs(restore_type=np.ndarray)  # whatever devices they were saved from
            if wanted := {path: as_numpy for path in table if path not in leaves}:
                args = self._ocp.args.PyTreeRestore(restore_args=wanted)
                found = self._items.restore((where / name).absolute(), args=args)
                leaves |= {path: np.asarray(leaf) for path, leaf in found.items()}
            arrays[name] = {path: leaves[path] for path in table}
            for path, entry in table.items():
                if _entry(arrays[name][path]) != entry:
                    raise DamagedCheckpoint(f"{where} is damaged ({path}: sha256 mismatch)")
        return migrate(meta["format"], meta["record"], arrays, names)

    def _check_shapes(self, where: Path, table: Mapping[str, Leaf]) -> None:
        """Raises `DamagedCheckpoint` unless the files of a tree hold arrays of the shapes in the table, of credible size."""
        stored = {path: leaf for path, leaf in table.items() if 0 not in leaf["shape"]}
        claims = sum(math.prod(leaf["shape"]) * np.dtype(leaf["dtype"]).itemsize for leaf in stored.values())
        size = sum(path.stat().st_size for path in where.rglob("*") if path.is_file())
        if claims > _SIZE_LIMIT * size + _HARMLESS:
            raise DamagedCheckpoint(f"{where.parent} is damaged ({where.name}: {size:,} bytes claim to hold {claims:,})")
        if not stored:
            return
        metadata: Any = self._items.metadata(where.absolute()).item_metadata
        held = metadata.tree
        for path, leaf in stored.items():
            found = tuple(held[path].shape) if path in held else None
            if found != tuple(leaf["shape"]):
                raise DamagedCheckpoint(f"{where.parent} is damaged ({path}: shape {found}, wanted {tuple(leaf['shape'])})")

    def _remove(self, steps: list[int]) -> None:
        """Steps leave the list by one rename each, before anything of them is deleted."""
        if not steps:
            return
        trash = self.directory / _TRASH
        try:
            trash.mkdir(exist_ok=True)
            for step in steps:
                os.rename(self._path(step), trash / str(step))
            self._clean()
        except OSError as error:
            raise CheckpointError(
                f"{self.directory}: old steps cannot be removed ({_first_line(error)}); all that are listed are whole. Move "
                f"{trash} away and resume."
            ) from error

    def _clean(self) -> tuple[str, ...]:
        """Removes what is no step, and gives the names of it."""
        left = [path for path in self.directory.iterdir() if re.search(r"\.(partial|orbax-checkpoint-tmp.*)$", path.name)]
        trash = self.directory / _TRASH
        names = [path.name for path in left] + ([f"{_TRASH}/{path.name}" for path in trash.iterdir()] if trash.is_dir() else [])
        for path in (*left, trash):
            shutil.rmtree(path, ignore_errors=True)
        return tuple(sorted(names))


def arrays_of(tree: PyTree) -> Arrays:
    """The array leaves of a tree by their paths, such as `model.blocks[0].conv.weight`, as NumPy arrays."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {path_name(path): np.asarray(leaf) for path, leaf in leaves}


def fill(template: PyTree, arrays: Arrays, where: str, *, also: str = "") -> PyTree:
    """`template` with `arrays` in place of its arrays or `jax.ShapeDtypeStruct`s; paths, shapes and types must agree.

    **Raises:** `CheckpointError` that names `where`, every leaf that differs, and `also` what else is different.
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
        also = f" {also}" if also else ""
        raise CheckpointError(
            f"{where} does not fit this model ({number}): {listed}{more}.{also} Build the model that was saved."
        )
    return eqx.combine(jax.tree_util.tree_unflatten(structure, [jnp.asarray(arrays[path]) for path in here]), rest)


def path_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf as text, such as `model.blocks[0].conv.bias`."""
    return re.sub(r"^\.", "", jax.tree_util.keystr(path)) or "value"


def _described(leaf: Any) -> str:
    return f"{tuple(leaf.shape)} {np.dtype(leaf.dtype).name}"


def _entry(leaf: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest()
    return {"shape": list(leaf.shape), "dtype": leaf.dtype.name, "sha256": digest}


def _read_meta(where: Path) -> Meta:
    """What stands beside the arrays of a step; `DamagedCheckpoint` if a byte of it has changed."""
    first = where / "meta" / "metadata"
    if first.exists():  # format 1, with the digest of the sorted tree inside
        meta = parse_json(read_file(first))
        found, wanted = json.dumps({k: v for k, v in meta.items() if k != "sha256"}, sort_keys=True).encode(), meta["sha256"]
    else:
        found, wanted = read_file(where / "meta.json"), read_file(where / "meta.json.sha256").decode("ascii")
        meta = None
    if hashlib.sha256(found).hexdigest() != wanted:
        raise DamagedCheckpoint(f"{where} is damaged (meta: sha256 mismatch)")
    meta = meta or parse_json(found)
    check_record(Meta, meta, str(where), name="meta")
    return meta


def _sha256_of_files(directory: Path) -> dict[str, str]:
    """The sha256 of every file below a directory by its relative path; links, which could lead elsewhere, do not count."""
    digests = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()):
        with open(path, "rb") as file:
            digests[path.relative_to(directory).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _check_files(where: Path, name: str, wanted: Mapping[str, str]) -> None:
    """Raises `DamagedCheckpoint` unless the files of a tree are those that were written."""
    found = _sha256_of_files(where / name)
    for file in sorted(found | dict(wanted)):
        if found.get(file) != wanted.get(file):
            what = "is missing" if file not in found else "does not belong to it" if file not in wanted else "sha256 mismatch"
            raise DamagedCheckpoint(f"{where} is damaged ({name}/{file}: {what})")


def _free(directory: Path) -> str:
    """What is free where a directory is, in words: bytes, and that no further file can be made where this is so."""
    try:
        free = f"{shutil.disk_usage(directory).free:,} are free"
        status = os.statvfs(directory) if hasattr(os, "statvfs") else None
    except OSError:
        return "unknown numbers are free"
    if status is not None and status.f_files and not status.f_favail:  # some file systems have no fixed number of files
        return f"{free}, but no inode: remove files of any size"
    return free


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"
