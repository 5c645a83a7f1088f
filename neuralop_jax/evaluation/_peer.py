"""Processes of another interpreter, with other people's packages, that time the originals on request."""

import json
import pathlib
import subprocess
import tempfile
from typing import IO, Any, ClassVar, TypeVar, cast

from neuralop_jax.errors import ConfigError, NeuralOpError

_Peer = TypeVar("_Peer", bound="PeerProcess")


class PeerProcess:
    """A script in a process of `python`, idle except while it answers a request; a context manager.

    Requests and answers are lines of JSON. The script imports nothing of this library. Subclasses name it, a file beside this
    one, and in words the packages that it needs. The answer to the first request, `start`, is kept as `versions`.

    **Arguments:**

    - `python`: the path of an interpreter.
    - `start`: what the first request tells the script.

    **Raises:** `ConfigError` if the interpreter cannot be run or the script fails at the start, as without its packages.

    !!! example

        ```python
        import platform
        import sys
        from neuralop_jax.evaluation import PeerProcess

        class Versions(PeerProcess):
            script, packages = "_peer_solvers.py", "numpy"

        with Versions(sys.executable) as peer:
            assert peer.ask(do="start") == peer.versions
            assert peer.versions["python"] == platform.python_version()
        ```
    """

    script: ClassVar[str]
    packages: ClassVar[str]

    def __init__(self, python: str, **start: Any):
        self.python = python
        self._said = tempfile.TemporaryFile(mode="w+")
        try:
            self._process = subprocess.Popen(
                [python, str(pathlib.Path(__file__).with_name(self.script))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
            )
        except OSError as error:
            self._said.close()
            raise ConfigError(f"--peer-python: cannot run {python!r} ({error.strerror}); give the path of a Python.") from error
        self._requests, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        try:
            self.versions: dict[str, str] = self.ask(do="start", **start)
        except NeuralOpError as error:
            self.close()
            raise ConfigError(
                f"--peer-python: {python} cannot load the peer ({error}); install {self.packages} there."
            ) from error

    def ask(self, **request: Any) -> dict[str, Any]:
        """The script's answer to one request.

        **Raises:** `NeuralOpError` with the last line of what the process said if it ended, or if the answer is no JSON.
        """
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
        try:
            return json.loads(answer)
        except ValueError as error:
            raise NeuralOpError(f"{self.python} does not answer as a Python would: {answer.strip()[:80]!r}") from error

    def close(self) -> None:
        """Ends the process, once it has answered."""
        self._process.communicate()
        self._said.close()

    def __enter__(self: _Peer) -> _Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ModelPeer(PeerProcess):
    """The originals of the models on PyTorch.

    **Arguments:**

    - `python`: the path of an interpreter whose environment has `torch`, and `neuraloperator` and `deepxde` for their models.
    - `threads`: CPU threads that PyTorch may use.
    - `device`: `"cpu"` or `"cuda"`.
    - `compile`: whether a network goes through `torch.compile`.
    - `originals`: a folder with clones of the repositories of the other papers.

    **Raises:** as `PeerProcess`; every request raises `NeuralOpError` if the process ends.

    !!! example

        ```python
        import sys
        from neuralop_jax.errors import ConfigError
        from neuralop_jax.evaluation import ModelPeer

        try:
            with ModelPeer(sys.executable, threads=1) as peer:
                assert peer.versions["device"] == "cpu"
        except ConfigError as error:  # this Python has no PyTorch
            assert "No module named 'torch'" in str(error) and "install torch, neuraloperator and deepxde there" in str(error)
        ```
    """

    script = "_peer_models.py"
    packages = "torch, neuraloperator and deepxde"

    def __init__(self, python: str, *, threads: int, device: str = "cpu", compile: bool = False, originals: str = ""):
        super().__init__(python, threads=threads, device=device, compile=compile, originals=originals)

    def build(self, family: str, config: dict[str, Any], inputs: dict[str, tuple[int, ...]], file: pathlib.Path) -> int | str:
        """Builds a network and writes its weights, inputs of these shapes and its output to `file` (npz).

        **Returns:** the number of real parameters, or what the peer lacks to build it.
        """
        shapes = {name: list(shape) for name, shape in inputs.items()}
        answer = self.ask(do="build", family=family, config=config, inputs=shapes, file=str(file))
        return answer["parameters"] if "parameters" in answer else answer["missing"]

    def seconds(self, what: str, count: int = 1) -> float:
        """The mean seconds of `count` times `"forward"` or `"step"`, after one that is not timed."""
        return self.ask(do=what, count=count)["seconds"]


class SolverPeer(PeerProcess):
    """pyamg for elliptic systems, exponax for time steps; either may be missing, and `versions` tells.

    **Arguments:**

    - `python`: the path of an interpreter whose environment has NumPy, and for pyamg SciPy.

    **Raises:** as `PeerProcess`; every request raises `NeuralOpError` if the process ends, as without the package for it.

    !!! example

        ```python
        import importlib.util
        import sys
        from neuralop_jax.evaluation import SolverPeer

        with SolverPeer(sys.executable) as peer:
            assert "scipy" in peer.versions
            assert ("pyamg" in peer.versions) == (importlib.util.find_spec("pyamg") is not None)
        ```
    """

    script = "_peer_solvers.py"
    packages = "scipy, pyamg and exponax"

    def __init__(self, python: str):
        super().__init__(python)

    def solve_system(self, file: pathlib.Path, tolerance: float) -> dict[str, float]:
        """Sets up and solves the symmetric system of `file` (npz: data, indices, indptr, rhs) by pyamg: seconds and residual."""
        return self.ask(do="solve_system", file=str(file), tolerance=tolerance)

    def navier_stokes(self, file: pathlib.Path, *, viscosity: float, dt: float, order: int, steps: int) -> dict[str, float]:
        """Steps the vorticity fields `w0` of `file` (npz) on the unit torus by exponax and adds `end` to the file: seconds."""
        return self.ask(do="navier_stokes", file=str(file), viscosity=viscosity, dt=dt, order=order, steps=steps)
