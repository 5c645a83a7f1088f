"""What a person sees of a training: a bar in a terminal, a line per interval elsewhere."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressDisplay:
    """A progress bar with steps per second, loss, learning rate and time left; without a terminal, plain lines.

    **Arguments:**

    - `steps`: steps in all.
    - `done`: steps done before.
    - `console`: where to write.
    """

    def __init__(self, steps: int, *, done: int = 0, console: Console):
        self._console = console
        self._steps = steps
        columns = (
            "training",
            BarColumn(),
            "{task.completed:.0f}/{task.total:.0f}",
            TextColumn("{task.fields[text]}", markup=False),
        )
        times = (TimeElapsedColumn(), "ETA", TimeRemainingColumn(elapsed_when_finished=False))
        self._bar = Progress(*columns, *times, console=self._console) if self._console.is_terminal else None
        if self._bar is not None:
            self._task = self._bar.add_task("", total=steps, completed=done, text="")

    def __enter__(self) -> "ProgressDisplay":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, line: dict[str, Any]) -> None:
        """Shows a line of `metrics.jsonl`."""
        if self._bar is not None:
            self._bar.update(self._task, completed=line["step"], text=describe(line))
            return
        left = (self._steps - line["step"]) / line["steps_per_second"]
        self._console.print(f"step {line['step']}/{self._steps}  {describe(line)}  ETA {left:.0f} s")


def plain_console() -> Console:
    """A console on standard output that takes text literally and does not break lines."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def describe(line: dict[str, Any]) -> str:
    """The numbers of a line of `metrics.jsonl` in words."""
    lost = lambda split: f" ({split['diverged']} diverged)" if "diverged" in split else ""
    error = lambda split: f"accuracy {split['accuracy']:.4f}" if "accuracy" in split else f"{split['relative_l2']:.4f}"
    say = lambda split: error(split) + lost(split)
    errors = "".join(f"  {name} {say(split)}" for name, split in line.get("splits", {}).items())
    rate, speed = line["learning_rate"], line["steps_per_second"]
    skipped = f"  {line['skipped']} skipped" if line.get("skipped") else ""
    return f"loss {line['loss']:.5f}  lr {rate:.2e}  gradient {line['gradient_norm']:.2e}  {speed:.1f} steps/s{skipped}{errors}"
