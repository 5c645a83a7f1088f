"""The entry of the command line: choose the verb, run it, turn its outcome into an exit code."""

import contextlib
import errno
import functools
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from neuralop_jax._checks import printable, reason, shown_path
from neuralop_jax._config_loader import option_names
from neuralop_jax._spared_output import SparedStream, discard_unwritten
from neuralop_jax._version import __version__
from neuralop_jax.cli import generate, plan, sweep, train
from neuralop_jax.cli._parse import parse, show_help, suggest_verb
from neuralop_jax.cli._processes import leave
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.errors import (
    ConfigError,
    NeuralOpError,
    OutOfMemoryError,
    ProcessError,
    ProcessLost,
    SolverError,
    TrainingDiverged,
)

PROG = "neuralop-jax"
VERBS = (
    "train",
    "sweep",
    "plan",
    "evaluate",
    "uncertainty",
    "predict",
    "report",
    "export",
    "leaderboard",
    "invert",
    "generate",
    "data info",
    "data convert",
    "convert",
    "doctor",
    "benchmark",
)
_DESCRIPTION = """Train, evaluate and use neural operators; make and convert their data.
Every command has its own help: neuralop-jax train --help. With --debug an error comes with its traceback.
With --import MODULE a module of yours is imported first, which registers models of yours: REGISTRY["mine"] = Mine.
Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted, 143 terminated."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. What goes wrong is one line on standard error; what only a traceback explains is raised.

    **Arguments:**

    - `argv`: the words behind the program's name; those of the process if `None`.

    **Returns:** the exit code: 0 done, 1 failed, 2 wrong input, 130 after SIGINT, 143 after SIGTERM.

    !!! example

        ```python
        import contextlib
        import io
        from neuralop_jax.cli import main

        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(["train", "configs/darcy_small/fno.toml", "--training.stesp", "100"])
        assert code == 2
        assert "unknown option 'training.stesp'" in said.getvalue() and "Did you mean 'training.steps'" in said.getvalue()
        ```
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(SparedStream(sys.stderr)) if sys.stderr else contextlib.nullcontext():
            return _exit_code(words, debug)
    finally:
        discard_unwritten()


def _exit_code(words: Sequence[str], debug: bool) -> int:
    """Runs the command; what went wrong is said in one line, if standard error takes it."""
    try:
        code = _command(_without_imports(words))() or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BaseException as error:
        gone = error if isinstance(error, ProcessLost) else error.__cause__ if isinstance(error.__cause__, ProcessLost) else None
        code = _explained(error, debug)
        if code is None and gone is None:
            raise
        if gone is None:
            return code or 0
        if code is None:
            traceback.print_exception(error, chain=False)
        if gone is not error:
            print(gone, file=sys.stderr)
        leave(1 if code is None else code)


def _explained(error: BaseException, debug: bool) -> int | None:
    """Says what went wrong in one line; the exit code, or `None` for what only a traceback explains."""
    match error:
        case SystemExit():  # as Python does, whoever raised it: a module of the user's may
            if not isinstance(error.code, int | None):
                print(error.code, file=sys.stderr)
                return 1
            return error.code or 0
        case KeyboardInterrupt():
            print("interrupted", file=sys.stderr)
            return 130
        case NeuralOpError():
            if debug:
                traceback.print_exception(error)
            print(error, file=sys.stderr)
            return 1 if isinstance(error, TrainingDiverged | SolverError | OutOfMemoryError | ProcessError) else 2
        case MemoryError() | RuntimeError():
            if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
                return None
            print("out of memory: lower the batch, the resolution or the number of samples at once.", file=sys.stderr)
            return 1
        case BrokenPipeError():  # whoever read our output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case OSError() if error.filename is not None:
            where = shown_path(error.filename)
            print(printable(f"{where}: {reason(error)}. Check the path and its rights."), file=sys.stderr)
            return 2
        case OSError() if error.errno == errno.ENOSPC:  # of a file without a name, such as our output
            print(f"{reason(error)}. Make room where the output goes.", file=sys.stderr)
            return 1
    return None


def _without_imports(words: Sequence[str]) -> list[str]:
    """Imports the modules named by `--import NAME`, as only a command line can, and gives the other words."""
    kept, rest = [], list(words)
    while rest:
        option, equals, name = rest.pop(0).partition("=")
        if option != "--import":
            kept.append(option + equals + name)
            continue
        name = name if equals else rest.pop(0) if rest else ""
        if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
            raise ConfigError(f"--import takes the name of a module, such as my_models for my_models.py, got {name!r}.")
        if (here := os.getcwd()) not in sys.path:
            sys.path.insert(0, here)  # as `python -m` does; the installed command does not
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ConfigError(f"--import {name}: there is no such module (looked in {here}). Run where {name}.py is.") from error
    return kept


def _command(words: list[str]) -> Callable[[], int | None]:
    """The call that the words ask for; help and version end the program here."""
    if words[:1] == ["--version"]:
        return lambda: print(__version__)
    if not words:
        raise ConfigError(f"{PROG} needs a command: {', '.join(VERBS)}. See {PROG} --help.")
    if words[0] in ("--help", "-h"):
        return functools.partial(_show_overview, "")
    size = 2 if words[0] in {verb.partition(" ")[0] for verb in VERBS if " " in verb} else 1
    name, rest = " ".join(words[:size]), words[size:]
    if size == 2 and words[1:2] in ([], ["--help"], ["-h"]):
        return functools.partial(_show_overview, f"{words[0]} ")
    if name not in VERBS:
        raise ConfigError(suggest_verb(name, VERBS, PROG))
    if name in ("train", "sweep", "plan"):
        return _experiment(name, rest)
    if name == "generate":
        return generate.command(rest, f"{PROG} generate")
    return parse(_verb(name), rest, f"{PROG} {name}")


def _experiment(name: str, words: list[str]) -> Callable[[], int | None]:
    """`train`, `sweep` or `plan`: options of the experiment go to the loader of its configuration, the others to the parser."""
    run, wanted, described = {
        "train": (train.train, train.Train, train.TrainHelp),
        "sweep": (sweep.sweep, sweep.Sweep, sweep.SweepHelp),
        "plan": (plan.plan, plan.PlanOptions, plan.PlanHelp),
    }[name]
    if "--help" in words or "-h" in words:
        show_help(described, f"{PROG} {name}")
    overrides, own = train.split_overrides(words)
    options = parse(wanted, own, f"{PROG} {name}", known=option_names(ExperimentConfig))()
    return functools.partial(run, options, overrides)


def _verb(name: str) -> Callable[..., Any]:
    """The function of a verb: `evaluate` in `cli/evaluate.py`, `data info` is `info` in `cli/data.py`."""
    module, _, function = name.partition(" ")
    return getattr(importlib.import_module(f"neuralop_jax.cli.{module}"), function or module)


def _show_overview(start: str) -> None:
    """The help that lists the verbs whose names begin with `start`, without it."""
    own = {"train": train.Train, "sweep": sweep.Sweep, "plan": plan.PlanOptions, "generate": generate.Generate}
    verbs = {name.removeprefix(start): own.get(name) or _verb(name) for name in VERBS if name.startswith(start)}
    description = "" if start else _DESCRIPTION
    tyro.extras.subcommand_cli_from_dict(verbs, args=["--help"], prog=f"{PROG} {start}".strip(), description=description)
