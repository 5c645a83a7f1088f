"""The directory of one training run: its lock, its files, and the rule that nothing is overwritten."""

import contextlib
import io
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import filelock
import numpy as np
from jaxtyping import Array

from neuralop_jax._run_files import read_config
from neuralop_jax._strict_json import numbers, strict
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax._whole_files import force_to_disk, write_whole
from neuralop_jax.config import ExperimentConfig, to_json
from neuralop_jax.errors import RunDirError
from neuralop_jax.training._changes import check_changes

_LONGEST, _LONGEST_LOG = 3800, 2**30
"""Bytes of the path of a run directory: systems allow 4096, and a file of a checkpoint has up to 200 more. Bytes of a log."""

_TIME = "%Y-%m-%d %H:%M:%S"
_OWN = re.compile(r"run\.lock|\.config\.json\.[0-9a-f]+\.partial")
"""What a process that was killed before it had written its configuration leaves."""


class RunDirectory:
    """The directory of one training run, held by one process at a time.

    Entering refuses a directory that is in use, holds a run that is not to be resumed, or other files, and names that cannot hold
    a run; it makes and changes nothing but `run.lock`. `open` then makes what is missing. Nothing is ever deleted: a run that is
    to be overwritten is moved aside. The operating system ends the lock with the process, however that ends.

    - `config.json`, `env.json`, `results.json`, `DONE`: written in one piece.
    - `metrics.jsonl`: one line per interval; `run.log`: what happened, with the time.
    - `checkpoints/`: a `checkpoint.CheckpointStore`.

    **Arguments:**

    - `path`: the directory.
    - `resume`: continues the run in it.
    - `overwrite`: moves the run in it, if there is one, to a new name beside it.

    **Raises:** on entering, `RunDirError` if the directory cannot be used.

    !!! example

        ```python
        import tempfile

        from neuralop_jax.config import DataConfig, ExperimentConfig
        from neuralop_jax.training import RunDirectory

        with tempfile.TemporaryDirectory() as parent, RunDirectory(f"{parent}/run") as run:
            run.open(ExperimentConfig(DataConfig("data.h5", ("a",), ("u",))))
            run.append_metrics({"step": 50, "loss": 0.1})
            assert run.metrics() == [{"step": 50, "loss": 0.1}]
        ```
    """

    def __init__(self, path: str | Path, *, resume: bool = False, overwrite: bool = False):
        if resume and overwrite:
            raise RunDirError(f"{path} cannot be both resumed and overwritten. Use --resume or --overwrite.")
        self.path = Path(path)
        self.resume, self.overwrite = resume, overwrite
        self.checkpoints = self.path / "checkpoints"
        self._lock = filelock.FileLock(self.path / "run.lock")
        self._held: os.stat_result | None = None

    def __enter__(self) -> "RunDirectory":
        try:
            os.fsencode(self.path.absolute()).decode("utf-8")
            there = self.path.exists()
        except ValueError as error:
            raise RunDirError(f"run directory {str(self.path)!a} is not UTF-8 text. Choose another --out.") from error
        except OSError as error:
            raise RunDirError(f"run directory {self.path}: {error.strerror}. Choose another --out.") from error
        if len(os.fsencode(self.path.absolute())) > _LONGEST:
            raise RunDirError(
                f"run directory {str(self.path)[:60]}... has a path of more than {_LONGEST} bytes. Choose another --out."
            )
        if there:
            self._claim()
        elif self.resume:
            raise RunDirError(f"no run to resume in {self.path}: there is no such directory. Name one, or leave --resume out.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock.is_locked:
            if self._is_held():
                with contextlib.suppress(OSError):
                    os.truncate(self._lock.lock_file, 0)
            self._lock.release()

    def check_held(self) -> None:
        """Raises `RunDirError` if the directory was moved or removed since it was locked: another may have its name now."""
        if not self._is_held():
            raise RunDirError(
                f"{self.path} is no longer the directory that this run holds: it was moved or removed, and nothing is written to "
                "what has its name now. Resume the run where it is."
            )

    def check_config(self, config: ExperimentConfig, *, force: bool = False) -> list[str]:
        """The options in which a configuration differs from that of the run to be resumed.

        **Raises:** `ConfigError` if it does in more than lengths, intervals and what to do about failures, unless `force`.
        """
        if not self.resume:
            return []
        return check_changes(read_config(self.path), config, str(self.path), force=force)

    def open(self, config: ExperimentConfig) -> Path | None:
        """Makes a new directory, locks it and writes the configuration; one that is to be resumed is open already.

        **Returns:** where the run that was here before is now, if it is overwritten.
        """
        aside = self._move_aside() if self.overwrite and self._lock.is_locked and self._holds_run() else None
        if not self._lock.is_locked:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunDirError(f"{self.path} cannot be made: {error.strerror}. Choose another --out.") from error
            self._claim()
        if not self._holds_run():
            self.write_json("config.json", to_json(config))
        return aside

    def begin(self, config: ExperimentConfig, environment: Mapping[str, Any], step: int, *, logged: bool = True) -> list[Any]:
        """Takes back the lines behind `step`, its own too unless it was `logged`, and records how the training goes on.

        **Returns:** the lines taken back.
        """
        self.check_held()
        for left in ("DONE", *(path.name for path in self.path.glob(".*.partial"))):
            (self.path / left).unlink(missing_ok=True)
        last, lines = step if logged else step - 1, self.metrics()
        kept = [line for line in lines if line["step"] <= last]
        self._write("metrics.jsonl", "".join(json.dumps(strict(line)) + "\n" for line in kept))
        self.write_json("config.json", to_json(config))
        self.write_json("env.json", environment)
        self.log(f"training from step {step} to {config.training.steps}")
        return lines[len(kept) :]

    def finish(self, results: Mapping[str, Any]) -> None:
        """Writes the results and marks the run as complete."""
        self.write_json("results.json", results)
        self._write("DONE", "")

    def log(self, line: str) -> None:
        """Adds a line to `run.log`, with the time. It is no result: a disk that refuses it does not end a training."""
        if not self._is_held():
            return
        with contextlib.suppress(OSError), _to_append(self.path / "run.log") as file:
            file.write(f"{time.strftime(_TIME)} {line}\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl` but the last if a kill has cut it off.

        **Raises:** `RunDirError` if another one is damaged.
        """
        path, lines = self.path / "metrics.jsonl", []
        if not path.exists():
            return lines
        try:
            texts = read_file(path, _LONGEST_LOG).splitlines()
        except OSError as error:
            raise RunDirError(
                f"{path} cannot be read: {error.strerror}. Check its rights, or move it away, and the run goes on without "
                "what was logged before."
            ) from error
        for number, text in enumerate(texts, start=1):
            try:
                line = numbers(parse_json(text))
                whole = isinstance(line, dict) and isinstance(line.get("step"), int)
            except ValueError:
                whole = False
            if whole:
                lines.append(line)
            elif number < len(texts):
                raise RunDirError(
                    f"{path} is damaged in line {number} of {len(texts)}. Restore it, or move it away, and the run goes on "
                    "without what was logged before."
                )
        return lines

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Adds a line to `metrics.jsonl`; floats are written so that `metrics` gives the same bits."""
        path = self.path / "metrics.jsonl"
        self.check_held()
        try:
            with _to_append(path) as file:
                file.write(json.dumps(strict(line)) + "\n")
        except OSError as error:
            raise RunDirError(f"{path} cannot be written: {error.strerror}. Check space and rights.") from error

    def write_json(self, name: str, tree: Mapping[str, Any]) -> None:
        """Writes a file in one piece: a reader sees the old one or the new one."""
        self._write(name, json.dumps(strict(tree), indent=2) + "\n")

    def write_arrays(self, name: str, arrays: Mapping[str, Array | np.ndarray]) -> None:
        """Writes an `.npz` file in one piece."""
        held = io.BytesIO()
        np.savez(held, allow_pickle=False, **{key: np.asarray(value) for key, value in arrays.items()})
        self._write(name, held.getvalue())

    def _write(self, name: str, content: str | bytes) -> None:
        self.check_held()
        try:
            write_whole(self.path / name, content)
        except OSError as error:
            raise RunDirError(f"{self.path / name} cannot be written: {error.strerror}. Check space and rights.") from error

    def _is_held(self) -> bool:
        """Whether the lock file is the one that was locked, which nobody can be given anew while it is open."""
        try:
            return self._held is None or os.path.samestat(self._held, os.stat(self._lock.lock_file))
        except OSError:
            return False

    def _holds_run(self) -> bool:
        return (self.path / "config.json").exists()

    def _claim(self) -> None:
        """Takes the lock, or says who has it or what is in the way."""
        path = self.path
        if not path.is_dir():
            raise RunDirError(f"{path} is a file, not a run directory. Choose another --out.")
        if not self._holds_run() and not all(_OWN.fullmatch(file.name) for file in path.iterdir()):
            raise RunDirError(f"{path} holds files but no run. Choose another --out, or empty it.")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            holder = Path(self._lock.lock_file).read_text(encoding="utf-8").strip() or "another process"
            raise RunDirError(f"{path} is in use by {holder}. Choose another --out, or wait for it.") from None
        except OSError as error:
            raise RunDirError(f"{path} cannot be locked: {error.strerror}. Choose a directory that you may write to.") from error
        try:
            self._refuse_other_use()
            self._sign()
        except BaseException:
            self._lock.release()
            raise

    def _sign(self) -> None:
        """Writes into the lock file who has the lock, and remembers which file it is."""
        path, text = Path(self._lock.lock_file), f"pid {os.getpid()} on host {platform.node()} since {time.strftime(_TIME)}\n"
        try:
            path.write_text(text, encoding="utf-8")
            self._held = os.stat(path)
        except OSError as error:
            raise RunDirError(
                f"{self.path} cannot be written: {error.strerror}. Make room there, or choose another --out."
            ) from error

    def _move_aside(self) -> Path:
        """Gives the run in the directory a name that no other has, and its lock back."""
        here = self.path if self.path.name else self.path.absolute()
        aside = here.with_name(f"{here.name}.before-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}")
        try:
            os.rename(self.path, aside)
            force_to_disk(aside.parent, deep=False)
        except OSError as error:
            raise RunDirError(f"{self.path} cannot be moved to {aside}: {error.strerror}. Choose another --out.") from error
        with contextlib.suppress(OSError):  # the text is for people; the lock ends with the process
            os.truncate(aside / "run.lock", 0)
        self._lock.release()
        self._held = None
        return aside

    def _refuse_other_use(self) -> None:
        if self._holds_run() and not self.resume and not self.overwrite:
            steps = [line["step"] for line in self.metrics()]
            reached = f" (step {steps[-1]})" if steps else ""
            raise RunDirError(
                f"{self.path} already holds a run{reached}. Use --resume to continue it, --overwrite to move "
                "it aside, or another --out."
            )
        if self.resume and not self._holds_run():
            raise RunDirError(f"no run to resume in {self.path}: it has no config.json. Name a run, or leave --resume out.")


def _to_append(path: Path) -> TextIO:
    """A file to add lines to, made if it is not there; a link or a pipe in its place is refused by an `OSError`."""
    kept_out = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | kept_out, 0o666)
    return os.fdopen(number, "a", encoding="utf-8")
