"""The other side of the benchmark of models: the originals on PyTorch, run as a script by an interpreter that has them.

It reads one JSON object per line from standard input and answers each with one JSON line on standard output:

- `{"do": "start", "threads": n, "device": "cpu", "compile": false, "originals": folder}` → versions;
- `{"do": "build", "family": name, "config": {...}, "inputs": {name: shape}, "file": path}` → parameter count, or what is missing;
  weights, inputs and their output are written to `file` (npz);
- `{"do": "train", "file": path, "config": {...}, ...}` as for `Peer.train` → parameters, and seconds and steps until the
  error is reached, or what is missing;
- `{"do": "forward", "count": n}` and `{"do": "step", "count": n}` → mean seconds of n calls, after one untimed call.

It imports nothing of neuralop_jax, whose dependencies that interpreter need not have. neuraloperator and DeepXDE are installed
packages; the code of the other papers is in no package index, and is taken from clones of their repositories in one folder.
"""

import contextlib
import importlib
import json
import math
import os
import pathlib
import platform
import sys
import time
import types
import unittest.mock
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_BESIDE_THE_NETWORK = (
    "torchinfo",
    "utilities3",
    "tqdm",
    "yaml",
    "matplotlib",
    "h5py",
    "utils",
    "loss_fn",
    "scipy.io",
    "mpl_toolkits.axes_grid1",
)
"""What the files of networks import for training and pictures; replaced by nothing where it is missing."""


def neuraloperator_fno(config: dict[str, Any], originals: str) -> Any:
    network = importlib.import_module("neuralop.models").FNO(**config)
    return network, lambda x: network(x)


def deeponet(config: dict[str, Any], originals: str) -> Any:
    os.environ["DDE_BACKEND"] = "pytorch"
    options = {name: value for name, value in config.items() if name != "cls"}
    network = getattr(importlib.import_module("deepxde").nn.pytorch, config["cls"])(**options)
    return network, lambda branch, trunk: network((branch, trunk))


def multionet(config: dict[str, Any], originals: str) -> Any:
    options = {name: value for name, value in config.items() if name != "cls"}
    with _cloned(originals, "DGenNO", "Networks"):
        network = getattr(importlib.import_module("MultiONets"), config["cls"])(**options)
    init = importlib.import_module("torch.nn.init")
    for parameter in network.parameters():
        if not parameter.any():  # weights of the sum over layers: the output would be zero and could not be compared
            init.normal_(parameter, std=0.1)
    return network, lambda x, a: network(x, a)


def mgno(config: dict[str, Any], originals: str) -> Any:
    options = {name: value for name, value in config.items() if name != "cls"}
    with _cloned(originals, "MgNO"):
        network = getattr(importlib.import_module("models"), config["cls"])(**options)
    return network, lambda x: network(x)


def lsm(config: dict[str, Any], originals: str) -> Any:
    tensor: Any = importlib.import_module("torch").Tensor
    stays = unittest.mock.patch.object(tensor, "cuda", lambda self: self)  # constants, which the original puts on a GPU at once
    with _cloned(originals, "Latent-Spectral-Models", "models"), stays:
        network = importlib.import_module("LSM_2D").Model(types.SimpleNamespace(**config))
    return network, lambda x: network(x)


def factformer(config: dict[str, Any], originals: str) -> Any:
    with _cloned(originals, "FactFormer"):
        norm = importlib.import_module("libs.basics").GroupNorm
        flat = norm.forward
        norm.forward = lambda self, x: flat(self, x).reshape(x.shape)  # the last commit flattens the axes, which fails afterwards
        network = importlib.import_module("examples.darcy2d_fact").FactFormer2D(types.SimpleNamespace(**config))
    return network, lambda x, pos_x, pos_y: network(x, [pos_x, pos_y])


FAMILIES: dict[str, Callable[[dict[str, Any], str], Any]] = {
    f.__name__: f for f in (neuraloperator_fno, deeponet, multionet, mgno, lsm, factformer)
}


@contextlib.contextmanager
def _cloned(originals: str, *parts: str) -> Iterator[None]:
    """Within the block, modules are found in a folder of a cloned repository, and what only training needs may be missing."""
    path = pathlib.Path(originals or "(no folder was given with --originals)", *parts)
    if not path.is_dir():
        raise ImportError(f"{path} does not exist")
    sys.path.insert(0, str(path))
    before = set(sys.modules)
    try:
        for name in _BESIDE_THE_NETWORK:
            try:
                importlib.import_module(name)
            except ImportError:
                sys.modules[name] = unittest.mock.MagicMock()
        yield
    finally:
        sys.path.remove(str(path))
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("models", "libs", "examples", *_BESIDE_THE_NETWORK):
                del sys.modules[name]  # another clone has modules of the same names


class Peer:
    """The network of the current case, its data and its optimizer."""

    def __init__(self, threads: int, device: str, compiled: bool, originals: str):
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(threads)
        self.device, self.compiled, self.originals = device, compiled, originals
        if device == "cuda":  # as JAX does by default
            self.torch.backends.cuda.matmul.allow_tf32 = True

    def versions(self) -> dict[str, str]:
        found = {"python": platform.python_version(), "torch": self.torch.__version__}
        metadata = importlib.import_module("importlib.metadata")
        for package in ("neuraloperator", "deepxde"):
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return found | {"device": self.torch.cuda.get_device_name() if self.device == "cuda" else "cpu"}

    def build(self, family: str, config: dict[str, Any], inputs: dict[str, list[int]], file: str) -> dict[str, Any]:
        torch = self.torch
        torch.manual_seed(0)
        try:
            network, call = FAMILIES[family](config, self.originals)
        except ImportError as error:
            return {"missing": str(error)}
        data = {
            name: _positions(torch, shape) if name.startswith("pos") else torch.randn(*shape) for name, shape in inputs.items()
        }
        self.network = network.train(False)
        with torch.no_grad():
            output = call(**data)
        state = {k: v.numpy() for k, v in network.state_dict().items() if k != "_metadata"}
        np.savez(file, **state, **{f"in:{k}": v.numpy() for k, v in data.items()}, **{"out:y": output.numpy()})
        self.data = {name: value.to(self.device) for name, value in data.items()}
        self.y = torch.randn(*output.shape).to(self.device)
        network = network.to(self.device)
        for module in network.modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, torch.Tensor):
                    setattr(module, name, value.to(self.device))
        self.optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        self.call = torch.compile(call) if self.compiled else call
        trained = [p for p in network.parameters() if p.requires_grad]
        return {"parameters": sum(p.numel() * (2 if p.is_complex() else 1) for p in trained)}

    def train(
        self,
        file: str,
        config: dict[str, Any],
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        batch_size: int,
        epochs: int,
        error: float,
    ) -> dict[str, Any]:
        """Trains an FNO on the fields of a file by AdamW, a cosine and transposed samples, until an error on the test fields."""
        torch = self.torch
        torch.manual_seed(0)
        try:
            network, _ = neuraloperator_fno(config, self.originals)
        except ImportError as problem:
            return {"missing": str(problem)}
        network = network.to(self.device)
        with np.load(file, allow_pickle=False) as data:
            u, v, test_u, test_v = (torch.from_numpy(data[n]).float().to(self.device) for n in ("u", "v", "test_u", "test_v"))
        answer = {"parameters": sum(p.numel() * (2 if p.is_complex() else 1) for p in network.parameters())}
        predict = lambda a: network((a - u.mean()) / u.std()) * v.std() + v.mean()
        relative = lambda a, b: ((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).mean()
        whole = epochs * (len(u) // batch_size)
        optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay)
        cosine = lambda step: 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (whole - warmup_steps)))
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: s / warmup_steps if s < warmup_steps else cosine(s))
        start = time.perf_counter()
        for epoch in range(epochs):
            network.train()
            for rows in torch.randperm(len(u), device=self.device)[: whole // epochs * batch_size].split(batch_size):
                turned = torch.rand(batch_size, 1, 1, 1, device=self.device) < 0.5
                a, b = (torch.where(turned, x[rows].transpose(-1, -2), x[rows]) for x in (u, v))
                optimizer.zero_grad()
                relative(predict(a), b).backward()
                optimizer.step()
                rate.step()
            network.train(False)
            with torch.inference_mode():
                found = float(relative(predict(test_u), test_v))
            if found <= error:
                return {**answer, "seconds": time.perf_counter() - start, "steps": (epoch + 1) * whole // epochs}
        return {**answer, "missing": f"after {epochs} epochs it has an error of {found:.4f}"}

    def forward(self) -> None:
        self.network.train(False)
        with self.torch.inference_mode():
            self.call(**self.data)

    def step(self) -> None:
        self.network.train()
        self.optimizer.zero_grad()
        ((self.call(**self.data) - self.y) ** 2).mean().backward()
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


def _positions(torch: Any, shape: list[int]) -> Any:
    """The coordinates of one axis."""
    return torch.linspace(0, 1, shape[0]).reshape(shape)


def serve() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print must not mix with the answers
    warnings.simplefilter("ignore")
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "start":
            peer = Peer(request["threads"], request["device"], request["compile"], request["originals"])
            answer: Any = peer.versions()
        elif peer is None:
            raise SystemExit("the first request must be 'start'")
        elif request["do"] == "build":
            answer = peer.build(request["family"], request["config"], request["inputs"], request["file"])
        elif request["do"] == "train":
            answer = peer.train(**{name: value for name, value in request.items() if name != "do"})
        else:
            answer = {"seconds": peer.seconds(getattr(peer, request["do"]), request["count"])}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
