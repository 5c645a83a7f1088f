"""`train CONFIG`: from a configuration to a trained operator, its errors and a report."""

import contextlib
import dataclasses
import json
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from neuralop_jax._spared_output import spared_output
from neuralop_jax.cli._console import say
from neuralop_jax.cli._processes import join
from neuralop_jax.cli._run import show_errors
from neuralop_jax.config import ExperimentConfig, load_config, to_json
from neuralop_jax.errors import ConfigError

if TYPE_CHECKING:
    from neuralop_jax.training import StopRequest


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a model as the file CONFIG says; options in the form --section.option VALUE take precedence over the file."""

    config: tyro.conf.Positional[Path]
    """The experiment, a TOML file."""
    _: dataclasses.KW_ONLY
    out: Path | None = None
    """The run directory; a new one below runs/ if left out."""
    resume: bool = False
    """Continue the run in OUT from its newest checkpoint."""
    overwrite: bool = False
    """Move a run that is in OUT to a new name beside it, and train anew."""
    force: bool = False
    """With --resume: allow a configuration that differs in more than lengths and intervals, as long as all arrays fit."""
    print_config: bool = False
    """Print the resolved configuration as JSON and stop."""
    coordinator: str = ""
    """Of several processes: HOST:PORT of the first one, or auto on the machines of a Cloud TPU; SLURM and MPI tell it."""
    processes: int = 0
    """How many they are."""
    process: int = -1
    """Which this is, from 0."""


@dataclasses.dataclass(frozen=True)
class TrainHelp(Train):
    __doc__ = Train.__doc__

    experiment: Annotated[ExperimentConfig, tyro.conf.arg(name="")]


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of the experiment (dotted, or `--seed`) with their values, and the other words."""
    overrides, own, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if name != "--seed" and not (name.startswith("--") and "." in name):
            own.append(word)
            continue
        overrides.append(word)
        if not equals and rest and not rest[0].startswith("--"):
            overrides.append(rest.pop(0))
    return overrides, own


def train(options: Train, overrides: Sequence[str]) -> int:
    """Trains as `options` say and prints what came of it; the exit code is 128 + the signal that stopped it, else 0."""
    config = load_config(options.config, overrides)
    if options.resume and options.out is None:
        raise ConfigError("--resume needs --out RUN, the run directory to continue.")
    if options.force and not options.resume:
        raise ConfigError("--force allows another configuration with --resume, which is not given. Add it, or leave --force out.")

    from neuralop_jax import models

    models.check_options(config.model.kind, config.model.options)
    if options.print_config:
        print(json.dumps(to_json(config), indent=2))
        return 0
    join(options.coordinator, options.processes, options.process)
    return _train(options, config, overrides)


@spared_output()
def _train(options: Train, config: ExperimentConfig, overrides: Sequence[str]) -> int:
    import jax

    from neuralop_jax import training
    from neuralop_jax.checkpoint import CheckpointStore

    stop = training.StopRequest()
    if jax.process_index() > 0:
        with stopping(stop) as received:
            training.follow(config, stop=stop)
        return 128 + received[0] if received else 0
    run = options.out or _new_run(config)
    with stopping(stop) as received:
        result = training.fit(
            config, run_dir=run, resume=options.resume, overwrite=options.overwrite, force=options.force, stop=stop
        )
    if result.results is None:
        with CheckpointStore(run / "checkpoints", read_only=True) as store:
            stopped = f"Stopped and saved in {run}" if store.steps() else f"Stopped in {run} before the first step"
        say(f"{stopped}. Continue with: {shlex.join(_continuation(options, run, overrides))}")
        return 128 + (received[0] if received else signal.SIGTERM)  # without a signal here, another process had one
    return _summary(run, result.results)


def _continuation(options: Train, run: Path, overrides: Sequence[str]) -> list[str]:
    """The command that goes on with a run as this one would have."""
    words = ["neuralop-jax", "train", str(options.config), *overrides, "--resume", "--out", str(run)]
    if options.coordinator == "auto":
        words += ["--coordinator", "auto"]
    elif options.processes:
        words += ["--coordinator", options.coordinator, "--processes", str(options.processes), "--process", str(options.process)]
    for word, name in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        words += ["--import", name] if word == "--import" else [word] if word.startswith("--import=") else []
    return words


def _new_run(config: ExperimentConfig) -> Path:
    """A name below `runs/` that no other run has, whatever the clock says: data, model, time, chance."""
    stem = Path(config.data.path).stem
    return Path("runs") / f"{stem}-{config.model.kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def stopping(stop: "StopRequest") -> Iterator[list[int]]:
    """Within the block the first SIGINT or SIGTERM asks the training to save and stop, the second ends the program at once.

    Gives the list of signals received.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.request()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(run: Path, results: Mapping[str, Any]) -> int:
    """Prints the figures of a finished run and writes its report."""
    if results["splits"]:
        show_errors(results["splits"], title="Errors on held-out data")
    else:
        say("The file has no split but the one trained on: no error on held-out data is known.")
    say(f"{results['parameters']:,} parameters, {results['steps']:,} steps in {results['train_seconds']:.1f} s.")
    say(f"Run: {run}")
    return 0 if write_page(run) else 1


def write_page(run: Path) -> bool:
    """Writes the report of a finished run and says where it is; whether that went well."""
    try:
        from neuralop_jax.cli._report import write_report

        say(f"Report: {write_report(run)}")
    except Exception as error:  # the trained run is whole, whatever becomes of its pictures
        said = f"{type(error).__name__}: {error}"
        say(f"The report failed ({said}); the run is whole. Try: neuralop-jax report {shlex.quote(str(run))}")
        return False
    return True
