"""The directory of one training run: its lock, its files, and the rule that nothing is overwritten."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from neuralop_jax.config import ExperimentConfig, config_difference, from_json, to_json
from neuralop_jax.errors import ConfigError, RunDirError

_MAY_CHANGE = ("steps", "log_every", "save_every", "evaluate_every", "keep", "early_stop_split", "early_stop_patience")
"""Options of `[training]` that a resumed run may change."""


class RunDirectory:
    """The directory of one training run, held by one process at a time.

    Entering refuses a directory that is in use, holds a run that is not to be resumed, or other files; it makes and changes
    nothing but `run.lock`. `open` then makes what is missing. The operating system ends the lock with the process, however that
    ends.

    - `config.json`, `env.json`, `results.json`, `DONE`: written in one piece.
    - `metrics.jsonl`: one line per interval; `run.log`: what happened, with the time.
    - `checkpoints/`: a `checkpoint.CheckpointStore`.

    **Arguments:**

    - `path`: the directory.
    - `resume`: continues the run in it.

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

    def __init__(self, path: str | Path, *, resume: bool = False):
        self.path = Path(path)
        self.resume = resume
        self.checkpoints = self.path / "checkpoints"
        self._lock = filelock.FileLock(self.path / "run.lock")

    def __enter__(self) -> "RunDirectory":
        try:
            there = self.path.exists()
        except OSError as error:
            raise RunDirError(f"run directory {self.path}: {error.strerror}. Choose another --out.") from error
        if there:
            self._claim()
        elif self.resume:
            raise RunDirError(f"no run to resume in {self.path}: there is no such directory. Name one, or leave --resume out.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                os.truncate(self._lock.lock_file, 0)
            self._lock.release()

    def check_config(self, config: ExperimentConfig) -> None:
        """Raises `ConfigError` if the run in the directory has another configuration; lengths and intervals may differ."""
        if not self._holds_run():
            return
        stored = from_json(json.loads((self.path / "config.json").read_text(encoding="utf-8")), f"{self.path}/config.json")
        allowed = {f"training.{name}" for name in _MAY_CHANGE}
        names = lambda line: line.partition(" ")[0]
        changed = [
            line
            for line in config_difference(stored, config)
            if names(line) not in allowed and not names(line).startswith("mesh.")  # a run goes on on any number of devices
        ]
        if changed:
            raise ConfigError(
                f"{self.path} was trained with another configuration: {'; '.join(changed)}. Resume with the same, or train in "
                "another directory with --out."
            )

    def open(self, config: ExperimentConfig) -> None:
        """Makes a new directory, locks it and writes the configuration; one that holds a run is open already."""
        if not self._lock.is_locked:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunDirError(f"{self.path} cannot be made: {error.strerror}. Choose another --out.") from error
            self._claim()
        if not self._holds_run():
            self.write_json("config.json", to_json(config))

    def begin(self, config: ExperimentConfig, environment: Mapping[str, Any], step: int) -> None:
        """Takes back what was written after `step`, and records how the training goes on from there."""
        (self.path / "DONE").unlink(missing_ok=True)
        kept = [line for line in self.metrics() if line["step"] <= step]
        self._write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept))
        self.write_json("config.json", to_json(config))
        self.write_json("env.json", environment)
        self.log(f"training from step {step} to {config.training.steps}")

    def finish(self, results: Mapping[str, Any]) -> None:
        """Writes the results and marks the run as complete."""
        self.write_json("results.json", results)
        self._write("DONE", "")

    def log(self, line: str) -> None:
        """Adds a line to `run.log`, with the time."""
        with open(self.path / "run.log", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl` that are whole."""
        path, lines = self.path / "metrics.jsonl", []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                lines.append(json.loads(line))
            except ValueError:
                break  # the process was killed while it wrote this line
        return lines

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Adds a line to `metrics.jsonl`; floats are written so that reading gives the same bits."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def write_json(self, name: str, tree: Mapping[str, Any]) -> None:
        """Writes a file in one piece: a reader sees the old one or the new one."""
        self._write(name, json.dumps(tree, indent=2) + "\n")

    def _write(self, name: str, text: str) -> None:
        partial = self.path / f".{name}.partial"
        try:
            with open(partial, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path / name)
        except OSError as error:
            raise RunDirError(f"{self.path / name} cannot be written: {error.strerror}. Check space and rights.") from error

    def _holds_run(self) -> bool:
        return (self.path / "config.json").exists()

    def _claim(self) -> None:
        """Takes the lock, or says who has it or what is in the way."""
        path = self.path
        if not path.is_dir():
            raise RunDirError(f"{path} is a file, not a run directory. Choose another --out.")
        if not self._holds_run() and any(file.name != "run.lock" for file in path.iterdir()):
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
            text = f"pid {os.getpid()} on host {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
            Path(self._lock.lock_file).write_text(text, encoding="utf-8")
        except BaseException:
            self._lock.release()
            raise

    def _refuse_other_use(self) -> None:
        if self._holds_run() and not self.resume:
            steps = [line["step"] for line in self.metrics()]
            reached = f" (step {steps[-1]})" if steps else ""
            raise RunDirError(f"{self.path} already holds a run{reached}. Use --resume to continue it, or another --out.")
        if self.resume and not self._holds_run():
            raise RunDirError(f"no run to resume in {self.path}: it has no config.json. Name a run, or leave --resume out.")
