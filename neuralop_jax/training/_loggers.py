"""Further places for the lines of `metrics.jsonl`, none of which can stop a training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from neuralop_jax.errors import ConfigError


@runtime_checkable
class Logger(Protocol):
    """Takes the lines of `metrics.jsonl` as they are written, for instance to show them elsewhere.

    !!! example

        ```python
        from neuralop_jax.training import Logger

        class Weights:  # of a service: `run` is what its `init` returned
            def __init__(self, run):
                self.run = run

            def log(self, line):
                self.run.log({"loss": line["loss"]}, step=line["step"])

            def close(self):
                self.run.finish()

        assert isinstance(Weights(None), Logger)
        ```
    """

    def log(self, line: Mapping[str, Any]) -> None:
        """Takes a line: `step`, `loss`, `learning_rate`, `gradient_norm`, and the errors of the `splits` where there are any."""
        ...

    def close(self) -> None:
        """Ends the logging."""
        ...


class Loggers:
    """Several loggers as one that cannot fail: whichever raises is left out from then on, with one line that says so.

    A context manager: it closes the loggers at the end of the block.

    **Arguments:**

    - `makers`: by name, what makes a logger.
    - `warn`: takes the line about a logger that failed.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Logger]], warn: Callable[[str], None]):
        self._warn = warn
        self._loggers: dict[str, Logger] = {}
        for name, make in makers.items():
            self._guarded(name, lambda name=name, make=make: self._loggers.update({name: make()}))

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name, logger in list(self._loggers.items()):
            self._guarded(name, logger.close)

    def log(self, line: Mapping[str, Any]) -> None:
        """Gives a line to every logger that still works."""
        for name, logger in list(self._loggers.items()):
            self._guarded(name, lambda logger=logger: logger.log(line))

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever a service raises, the training is worth more
            self._loggers.pop(name, None)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._warn(f"logger {name!r} failed and is left out ({reason}); metrics.jsonl has every line.")


class TensorBoardLogger:
    """Writes the numbers of a line as scalars for TensorBoard, into a directory; needs the package tensorboardX.

    **Raises:** `ConfigError` without the package.
    """

    def __init__(self, directory: Path):
        self._writer = _tensorboard_writer()(str(directory))

    def log(self, line: Mapping[str, Any]) -> None:
        """Takes a line of `metrics.jsonl`."""
        for name, value in _scalars(line):
            self._writer.add_scalar(name, value, line["step"])
        self._writer.flush()

    def close(self) -> None:
        """Ends the logging."""
        self._writer.close()


def logger_makers(names: Sequence[str], run: Path, own: Mapping[str, Logger]) -> dict[str, Callable[[], Logger]]:
    """What makes the loggers that a configuration names, and those that are there already.

    **Raises:** `ConfigError` if a package that one of them needs is not installed.
    """
    if "tensorboard" in names:
        _tensorboard_writer()
    makers: dict[str, Callable[[], Logger]] = {name: lambda: TensorBoardLogger(run / "tensorboard") for name in names}
    return makers | {name: lambda logger=logger: logger for name, logger in own.items()}


def _tensorboard_writer() -> Callable[[str], Any]:
    try:
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "training.loggers 'tensorboard' needs the package tensorboardX. Install it with: pip install "
            "'neuralop_jax[tensorboard]', or leave the logger out."
        ) from error
    return SummaryWriter


def _scalars(line: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """The numbers of a line by their paths, `splits/test/relative_l2`."""
    found = []
    for name, value in line.items():
        if isinstance(value, Mapping):
            found += _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            found.append((f"{prefix}{name}", float(value)))
    return found
