"""Reasons to end a training before its last step."""

import dataclasses
import threading
from typing import Any


class StopRequest:
    """Asks a training from outside, for instance from a signal handler, to save and stop after the interval that runs.

    !!! example

        ```python
        from neuralop_jax.training import StopRequest

        stop = StopRequest()
        stop.request()
        assert stop.requested
        ```
    """

    def __init__(self):
        self._event = threading.Event()

    def request(self) -> None:
        """Asks to stop; may be called from anywhere, more than once."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether someone asked."""
        return self._event.is_set()


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Counts the evaluations since the smallest error of a split.

    **Arguments:**

    - `split`: the held-out split that decides, by its relative L2 error, infinite if a sample diverged; empty never stops.
    - `patience`: evaluations without a smaller error after which to stop.

    !!! example

        ```python
        from neuralop_jax.training import EarlyStopping

        early = EarlyStopping("test", patience=2)
        for error in (0.3, 0.2, 0.25, 0.21):
            early = early.after({"test": {"relative_l2": error}})
        assert early.due and early.best == 0.2
        ```
    """

    split: str
    patience: int
    best: float = float("inf")
    waited: int = 0

    def after(self, splits: dict[str, dict[str, Any]]) -> "EarlyStopping":
        """The count after an evaluation."""
        if not self.split:
            return self
        found = splits[self.split]
        error = float("inf") if "diverged" in found else found["relative_l2"]
        best, waited = (error, 0) if error < self.best else (self.best, self.waited + 1)
        return dataclasses.replace(self, best=best, waited=waited)

    @property
    def due(self) -> bool:
        """Whether to stop."""
        return bool(self.split) and self.waited >= self.patience
