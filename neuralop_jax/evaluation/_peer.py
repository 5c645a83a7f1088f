"""A process of another interpreter, with PyTorch and neuraloperator, that times the original implementation on request."""

import json
import pathlib
import subprocess
import tempfile
from typing import IO, Any, cast

from neuralop_jax.errors import ConfigError, NeuralOpError

_SCRIPT = pathlib.Path(__file__).with_name("_peer_timing.py")


class PeerProcess:
    """neuraloperator's FNO in a process of `python`, idle except while it answers a request; a context manager.

    **Arguments:**

    - `python`: the path of an interpreter whose environment has `torch` and `neuraloperator`.
    - `threads`: CPU threads that PyTorch may use.
    - `device`: `"cpu"` or `"cuda"`.
    - `compile`: whether the network goes through `torch.compile`.

    **Raises:** `ConfigError` if the interpreter does not exist or lacks the packages; `NeuralOpError` if the process dies.
    """

    def __init__(self, python: str, *, threads: int, device: str = "cpu", compile: bool = False):
        self.python = python
        self._said = tempfile.TemporaryFile(mode="w+")
        try:
            self._process = subprocess.Popen(
                [python, str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
            )
        except OSError as error:
            self._said.close()
            raise ConfigError(f"--peer-python: cannot run {python!r} ({error.strerror}); give the path of a Python.") from error
        self._requests, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        try:
            self.versions: dict[str, str] = self._ask(do="start", threads=threads, device=device, compile=compile)
        except NeuralOpError as error:
            self.close()
            raise ConfigError(
                f"--peer-python: {python} cannot load the peer ({error}); install torch and neuraloperator there."
            ) from error

    def build(self, config: dict[str, Any], shape: tuple[int, ...], file: pathlib.Path) -> int:
        """Builds the network of `config` and writes its weights, an input of `shape` and its output to `file` (npz).

        **Returns:** the number of real parameters.
        """
        return self._ask(do="build", config=config, shape=list(shape), file=str(file))["parameters"]

    def seconds(self, what: str, count: int = 1) -> float:
        """The mean seconds of `count` times `"forward"` or `"step"`, after one that is not timed."""
        return self._ask(do=what, count=count)["seconds"]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()
        self._said.close()

    def __enter__(self) -> "PeerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            answer = self._answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            self._said.seek(0)
            last = (self._said.read().strip().splitlines() or ["no message"])[-1]
            raise NeuralOpError(f"the peer process ended with code {self._process.returncode}: {last}")
        return json.loads(answer)
