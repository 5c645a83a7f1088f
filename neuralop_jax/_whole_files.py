"""Files and directories that appear under their names only when they are complete and on the disk."""

import contextlib
import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import filelock

from neuralop_jax._checks import reason
from neuralop_jax._untrusted_files import refuse_special
from neuralop_jax.errors import NeuralOpError, RunDirError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[io.BufferedRandom]:
    """A new binary file that takes the name `path` at the end of the block, in place of the ordinary file that has it.

    Whoever reads `path` meanwhile, or after a kill or a loss of power, has the old file or the new one. If the block raises,
    nothing is left of the new one. A link is replaced and not followed: it may be anybody's.

    **Raises:** `OSError` if the system refuses any of it, or `path` is a directory, a pipe or a device, which stays.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISLNK((status := os.lstat(path)).st_mode):
            refuse_special(status, path)
    partial = _beside(path)
    try:
        with open(partial, "x+b") as file:  # never what is there already, which may lead elsewhere
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        force_to_disk(path.parent, deep=False)
    finally:
        with contextlib.suppress(OSError):  # the name may be one that the system refuses
            partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file as `whole_file` does; text as UTF-8."""
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def make_way(path: Path, error: type[NeuralOpError]) -> None:
    """Makes the parents of a directory that is to be written later, and tries whether `whole_directory` could make it now.

    **Raises:** `error` if something has its name, or the system refuses it.
    """
    if os.path.lexists(path):
        raise error(f"{path} exists and is not overwritten. Choose another name.")
    try:
        trial = _beside(path)
        trial.mkdir(parents=True)
        trial.rmdir()
    except OSError as refused:
        raise error(f"{path} cannot be written: {reason(refused)}. Check the path, space and rights.") from refused


@contextlib.contextmanager
def whole_directory(path: Path, *, partial: Path | None = None) -> Iterator[Path]:
    """A new directory that takes the name `path`, which must be free, at the end of the block, as `whole_file` does.

    `partial` is what it is called until then; by default a name beside `path` that no other has. What is left there of an
    earlier try is removed.
    """
    partial = partial or _beside(path)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        force_to_disk(partial)
        os.rename(partial, path)
        force_to_disk(path.parent, deep=False)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def alone_with(path: Path, *, seconds: float = 60.0) -> Iterator[None]:
    """Lets one process at a time into the block: the file `path` is read, changed and written by one after the other.

    **Raises:** `RunDirError` if another process takes longer than `seconds`, or the system refuses the lock.
    """
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=seconds)
    except filelock.Timeout as error:
        raise RunDirError(f"{path} has been held by another process for {seconds:g} s. Wait for it, and try again.") from error
    except OSError as error:
        raise RunDirError(f"{path} cannot be locked: {error.strerror}. Choose a directory that you may write to.") from error
    try:
        yield
    finally:
        lock.release()


def force_to_disk(directory: Path, *, deep: bool = True) -> None:
    """Makes the operating system write what it holds of a directory, and of all below it if `deep`."""
    for path in (*(directory.rglob("*") if deep else ()), directory):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
