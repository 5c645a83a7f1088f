"""`generate NAME`: a dataset computed from a seed, written to one HDF5 file."""

import contextlib
import dataclasses
import functools
import json
import shlex
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from neuralop_jax._config_loader import nearest, option_names, option_pairs
from neuralop_jax._config_values import parse_text
from neuralop_jax._spared_output import spared_output
from neuralop_jax.cli._console import say
from neuralop_jax.cli._parse import parse, show_help
from neuralop_jax.errors import ConfigError

if TYPE_CHECKING:
    from neuralop_jax.data.generators import AbstractGenerator
    from neuralop_jax.info import DatasetInfo

_SECONDS_PER_LINE = 5.0


@dataclasses.dataclass(frozen=True)
class Generate:
    """Compute a dataset: the same seed gives the same file, however often the command is interrupted and given again."""

    name: tyro.conf.Positional[str]
    """What to compute: advection, burgers, darcy, kolmogorov, kuramoto_sivashinsky, navier_stokes, pen_strokes or spirals. Each
    has options of its own: neuralop-jax generate NAME --help."""
    _: dataclasses.KW_ONLY
    n: int = 1200
    """Samples in all."""
    test: int | None = None
    """How many of them, the last ones, form the split test; the others form train. A sixth if left out."""
    resolution: int | None = None
    """Points per axis, or observations of a series; each NAME has its default."""
    seed: int = 0
    """Which dataset."""
    out: Path | None = None
    """The file; datasets/NAME/NAME.h5 if left out."""
    precision: Literal["float64", "float32"] = "float64"
    """In which type to compute; floats are stored as float32."""
    batch: int | None = None
    """Samples computed at once; each NAME has its default. On a GPU, more are faster."""
    chunk: int | None = None
    """Samples between two writes to disk, which is what an interruption loses; at most 64 samples and 64 MiB if left out."""
    max_failed: float = 0.01
    """The fraction of samples that may fail; they are left out and named in the file."""
    overwrite: bool = False
    """Replace the file, and discard what an interrupted command with other options left."""


class _Stopped(Exception):
    """A signal asked the program to end."""


class _Display:
    """A progress bar with the time left; without a terminal, a line every few seconds."""

    def __init__(self, name: str, console: Console):
        self._name, self._start, self._said, self._compiled = name, None, (0, time.monotonic()), False
        columns = (name, BarColumn(), "{task.completed:.0f}/{task.total:.0f}", TimeElapsedColumn(), "ETA", TimeRemainingColumn())
        self._bar = Progress(*columns, console=console) if console.is_terminal else None

    def __enter__(self) -> "_Display":
        if self._bar is not None:
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Shows that `done` of `total` samples are finished."""
        now = time.monotonic()
        if self._start is None:
            self._start = (done, now)
            if done:
                say(f"{self._name}: going on from {done} samples")
        elif done > self._start[0] and not self._compiled:
            self._start, self._compiled = (done, now), True  # the first batch compiles, which says nothing about the others
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif done != self._said[0] and (done == total or now - self._said[1] >= _SECONDS_PER_LINE):
            before, since = self._start
            left = f"  ETA {(total - done) * (now - since) / (done - before):.0f} s" if before < done < total else ""
            say(f"{self._name}: {done}/{total} samples{left}")
            self._said = (done, now)


def command(words: Sequence[str], prog: str) -> Callable[[], int]:
    """The call that the words behind `generate` ask for; help ends the program here.

    **Arguments:**

    - `words`: the name, options of `Generate`, and options of the generator, in any order.
    - `prog`: the command so far.

    **Raises:** `ConfigError` for an unknown, missing or ill-typed argument.
    """
    own, given = split_options(words)
    if "--help" in words or "-h" in words:
        named = [word for word in own if not word.startswith("-")]
        show_help(_with_options_of(named[0]) if named else Generate, prog)
    options = parse(Generate, own, prog)()
    return functools.partial(generate, options, option_pairs(given), prog)


def split_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that `Generate` understands, and the other options with their values."""
    names = {"help", *(field.name for field in dataclasses.fields(Generate))}
    own, given, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name.replace("-", "_") in names:
            own.append(word)
            continue
        given.append(word)
        if not equals and rest and not rest[0].startswith("--"):
            given.append(rest.pop(0))
    return own, given


@spared_output()
def generate(options: Generate, given: Sequence[tuple[str, str]], prog: str) -> int:
    """Computes the dataset; the exit code is 128 + the signal that stopped it, else 0."""
    if not 1 <= options.n < 2**32:
        raise ConfigError(f"--n must be at least 1 and below 2**32, got {options.n}.")
    if options.test is not None and not 0 <= options.test <= options.n:
        raise ConfigError(f"--test must be between 0 and the {options.n} samples of --n, got {options.test}.")

    import jax

    from neuralop_jax import data

    generator = _build(options.name, given, prog)
    out = options.out or Path("datasets") / options.name / f"{options.name}.h5"
    splits = None if options.test is None else {"train": options.n - options.test, "test": options.test}
    try:
        with (
            _warnings_as_lines(),
            _stopping() as received,
            jax.enable_x64(options.precision == "float64"),
            _Display(options.name, Console()) as display,
        ):

            def on_progress(done: int, total: int) -> None:
                if received:
                    raise _Stopped
                display.update(done, total)

            info = data.generate(
                generator,
                out,
                num_samples=options.n,
                resolution=options.resolution,
                seed=options.seed,
                splits=splits,
                batch=options.batch,
                chunk=options.chunk,
                max_failed=options.max_failed,
                overwrite=options.overwrite,
                on_progress=on_progress,
            )
    except _Stopped:
        say(f"Stopped. Finished samples are kept in {out}.parts; the same command goes on from there.")
        return 128 + received[0]
    _summary(out, info)
    return 0


def _build(name: str, given: Sequence[tuple[str, str]], prog: str) -> "AbstractGenerator":
    """The generator of the command line; an unknown option may be one of `Generate` misspelled."""
    from neuralop_jax.data.generators import GENERATORS, build_generator

    known = option_names(GENERATORS[name]) if name in GENERATORS else {}
    hints = {field.name: field.type for field in dataclasses.fields(GENERATORS[name])} if known else {}
    own = {field.name: "" for field in dataclasses.fields(Generate)}
    for option, _ in given:
        if known and option not in known:
            near = nearest(option, [*known, *own]).replace("_", "-")
            listed = ", ".join(f"--{other.replace('_', '-')}" for other in known)
            hint = f"Did you mean '--{near}'?" if near else f"Options of {name}: {listed}."
            raise ConfigError(f"unknown option '--{option.replace('_', '-')}' of {prog} {name}. {hint}")
    return build_generator(name, {key: parse_text(hints.get(key), text) for key, text in given}, where="command line")


def _with_options_of(name: str) -> Callable[..., Any]:
    """`Generate` with the options of one generator beside its own, for its help."""
    from neuralop_jax.data.generators import GENERATORS, build_generator

    build_generator(name)  # refuses an unknown name
    fields = [("options", Annotated[GENERATORS[name], tyro.conf.arg(name="")], dataclasses.field(kw_only=True))]
    described = {"__doc__": Generate.__doc__}
    return dataclasses.make_dataclass("GenerateHelp", fields, bases=(Generate,), namespace=described, frozen=True)


@contextlib.contextmanager
def _stopping() -> Iterator[list[int]]:
    """Gives a list to which the first SIGINT or SIGTERM within the block is added; the second ends the program at once."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for other in before:
            signal.signal(other, signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Within the block a warning, such as that of a damaged shard, is one line of the output."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(message)
        yield


def _summary(out: Path, info: "DatasetInfo") -> None:
    """Says what the file holds, and what is missing."""
    told = json.loads(info.generation)
    for name, split in info.splits.items():
        shape = " x ".join(map(str, split.grid.shape))
        say(f"{name}: {split.num_samples} samples, {shape} points, {len(split.times) or 1} frames")
    if told["retried"]:
        say(f"{len(told['retried'])} samples were computed again by the ladder of retries.")
    if told["failed"]:
        numbers = ", ".join(str(number) for number, _ in told["failed"][:10])
        say(f"{len(told['failed'])} samples failed and were left out, the first ones: {numbers}.")
    say(f"File: {out} ({out.stat().st_size:,} bytes). Look into it with: neuralop-jax data info {shlex.quote(str(out))}")
