"""The other side of the benchmark: neuraloperator's FNO on PyTorch, run as a script by an interpreter that has both.

It reads one JSON object per line from standard input and answers each with one JSON line on standard output:

- `{"do": "start", "threads": n, "device": "cpu", "compile": false}` → versions;
- `{"do": "build", "config": {...}, "shape": [...], "file": path}` → parameter count; weights, an input and its output are
  written to `file` (npz);
- `{"do": "forward", "count": n}` and `{"do": "step", "count": n}` → mean seconds of n calls, after one untimed call.

It imports nothing of neuralop_jax, whose dependencies that interpreter need not have.
"""

import importlib
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np


class Peer:
    """The network of the current case, its data and its optimizer."""

    def __init__(self, threads: int, device: str, compiled: bool):
        self.torch: Any = importlib.import_module("torch")
        self.neuralop: Any = importlib.import_module("neuralop")
        self.models: Any = importlib.import_module("neuralop.models")
        self.torch.set_num_threads(threads)
        self.device, self.compiled = device, compiled
        if device == "cuda":  # as JAX does by default
            self.torch.backends.cuda.matmul.allow_tf32 = True

    def versions(self) -> dict[str, str]:
        return {
            "python": platform.python_version(),
            "torch": self.torch.__version__,
            "neuraloperator": self.neuralop.__version__,
            "device": self.torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
        }

    def build(self, config: dict[str, Any], shape: list[int], file: str) -> dict[str, int]:
        torch = self.torch
        torch.manual_seed(0)
        network = self.models.FNO(**config)
        self.x, self.y = torch.randn(*shape), torch.randn(*shape)
        with torch.no_grad():
            output = network(self.x)
        state = {k: v.numpy() for k, v in network.state_dict().items() if k != "_metadata"}
        np.savez(file, **state, **{"in:x": self.x.numpy(), "out:y": output.numpy()})
        self.x, self.y = self.x.to(self.device), self.y.to(self.device)
        network = network.to(self.device)
        self.optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        self.network = torch.compile(network) if self.compiled else network
        return {"parameters": sum(p.numel() * (2 if p.is_complex() else 1) for p in network.parameters())}

    def forward(self) -> None:
        with self.torch.inference_mode():
            self.network(self.x)

    def step(self) -> None:
        self.optimizer.zero_grad()
        ((self.network(self.x) - self.y) ** 2).mean().backward()
        self.optimizer.step()

    def seconds(self, call: Callable[[], None], count: int) -> float:
        call()
        self.wait()
        start = time.perf_counter()
        for _ in range(count):
            call()
        self.wait()
        return (time.perf_counter() - start) / count

    def wait(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()


def serve() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print must not mix with the answers
    warnings.simplefilter("ignore")
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "start":
            peer = Peer(request["threads"], request["device"], request["compile"])
            answer: Any = peer.versions()
        elif peer is None:
            raise SystemExit("the first request must be 'start'")
        elif request["do"] == "build":
            answer = peer.build(request["config"], request["shape"], request["file"])
        else:
            answer = {"seconds": peer.seconds(getattr(peer, request["do"]), request["count"])}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
