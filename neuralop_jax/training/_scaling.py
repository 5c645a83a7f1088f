"""Weak scaling on paper: what devices must send each other in a training step, and which part of the time computing is left."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AbstractMesh, PartitionSpec
from jaxtyping import PyTree

from neuralop_jax.errors import ConfigError
from neuralop_jax.evaluation import Collective, program_cost
from neuralop_jax.kernels import SPACE, kept_modes
from neuralop_jax.layers import SpectralConv
from neuralop_jax.models import FNO, ClassicFNO, MultigridPatches

DEVICES = (1, 8, 64, 512, 4096)
"""The numbers of devices of a prediction."""


@dataclasses.dataclass(frozen=True)
class Network:
    r"""What connects the devices: a fast link inside a node, a slower one between nodes.

    **Arguments:** all in one direction, of one device.

    - `bandwidth`: bytes per second to devices of other nodes. *Good values*: $5 \cdot 10^{10}$ for InfiniBand NDR (400 Gbit/s),
        $10^{11}$ for XDR; on a TPU, which has no nodes in this sense, that of its links: $6 \cdot 10^{11}$ for v5p, $2 \cdot
        10^{11}$ for v5e.
    - `node_bandwidth`: inside a node. *Good values*: $4.5 \cdot 10^{11}$ for NVLink 4 (H100, H200), $9 \cdot 10^{11}$ for NVLink
        5 (B200), $3 \cdot 10^{11}$ for NVLink 3 (A100).
    - `node_size`: devices of a node. *Good values*: 8 in a DGX or HGX server; 72 in a GB200 NVL72.
    - `latency`: seconds until a message arrives, however short. *Good values*: $10^{-5}$.

    **Raises:** `ConfigError` for numbers that are not finite and positive.

    **Source:** data sheets of NVIDIA's A100, H100, B200 and Quantum-2, which state both directions of NVLink together; the pages
    "TPU v5p" (1200 GB/s, both directions) and "TPU v5e" (1600 Gbit/s) of docs.cloud.google.com/tpu.
    """

    bandwidth: float = 5e10
    node_bandwidth: float = 4.5e11
    node_size: int = 8
    latency: float = 1e-5

    def __post_init__(self):
        for name in ("bandwidth", "node_bandwidth", "node_size"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be finite and above 0, got {getattr(self, name):g}. Give that of a data sheet.")
        if not 0 <= self.latency < math.inf:
            raise ConfigError(f"latency must be finite and at least 0, got {self.latency:g}. Give it in seconds.")

    def seconds(self, collectives: Sequence[Collective], devices: int) -> float:
        """How long the exchanges take one after the other; where they leave a node, all at the speed between nodes."""
        speed = self.node_bandwidth if devices <= self.node_size else self.bandwidth
        return sum(each.sent(devices) / speed + each.rounds(devices) * self.latency for each in collectives)


def predicted_efficiency(
    collectives: Sequence[Collective], step_seconds: float, network: Network, devices: Sequence[int] = DEVICES
) -> dict[int, float]:
    r"""The part $t/(t + t_n)$ of a step in which $n$ devices compute, each as much as one alone in $t$ seconds.

    $t_n$ is the time of the exchanges, none of which is hidden behind computing: a lower bound, where the compiler overlaps both.

    **Arguments:**

    - `collectives`: the exchanges of a step.
    - `step_seconds`: $t$.
    - `network`: the links.
    - `devices`: the numbers of devices.

    **Returns:** the efficiency by number of devices.

    !!! example

        ```python
        from neuralop_jax.evaluation import Collective
        from neuralop_jax.training import Network, predicted_efficiency

        network = Network(bandwidth=1e9, node_bandwidth=1e9, latency=0.0)
        assert predicted_efficiency([Collective("all_reduce", 1e9)], 1.0, network, [2]) == {2: 0.5}
        ```
    """
    return {count: step_seconds / (step_seconds + network.seconds(collectives, count)) for count in devices}


def mesh_exchanges(
    model: PyTree, weight_bytes: float, batch: int, shape: Sequence[int], *, portions: int = 1, space: int = 1
) -> dict[str, tuple[Collective, ...]]:
    r"""What the devices exchange in a training step, by the kind of mesh that they form.

    - `"data"`: every device has the weights and some of the samples. Gradients are added up: an all-reduce of $W$ bytes.
    - `"data, sharded weights"`: every device has a part of the weights, of the optimizer's state and of the averages. It gathers
        the weights for every portion of a step and gets its part of the sum of gradients: as many bytes in two exchanges.
    - `"space"`: every device has a part of the points of all samples, along the first axis. The kept coefficients of every
        Fourier layer are summed over the devices, and so are those of its gradient, real and imaginary parts in float32; beside
        them the gradients of the weights. The messages do not grow with the grid. What domain padding and the loss exchange is
        not in it. Only of an `FNO`, which calls each Fourier layer once; and of `MultigridPatches`, whose windows are counted in
        a program: what each device gets of the blocks of the others, and nothing for the gradient by the fields, which are data.
        It depends on how many share a domain; on more devices, these groups share the samples.

    **Arguments:**

    - `model`: the operator, of whose arrays only the shapes count.
    - `weight_bytes`: $W$, the bytes of its trainable arrays.
    - `batch`, `shape`: samples of a step, and points per axis of their fields.
    - `portions`: micro-batches that a device computes one after the other in a step.
    - `space`: devices that share the patches of a domain; 1 takes as many as there are rows of them.

    **Source:** Li et al. 2020, arXiv:2006.15704, section 2 (data); Rajbhandari et al. 2020, arXiv:1910.02054, section 7 (sharded
    weights).

    !!! example

        ```python
        import jax
        from neuralop_jax.models import FNO
        from neuralop_jax.training import mesh_exchanges

        model = FNO(in_channels=1, out_channels=1, n_modes=(4, 4), width=4, depth=1, key=jax.random.key(0))
        (gradients,) = mesh_exchanges(model, 4e6, batch=8, shape=(32, 32))["data"]
        assert gradients.kind == "all_reduce" and gradients.message == 4e6
        ```
    """
    found = {
        "data": (Collective("all_reduce", weight_bytes),),
        "data, sharded weights": (
            Collective("all_gather", weight_bytes, float(portions)),
            Collective("reduce_scatter", weight_bytes, float(portions)),
        ),
    }
    model = getattr(model, "model", model)
    if isinstance(model, MultigridPatches) and model.divisible:
        windows = _of_windows(model, batch, shape, space if space > 1 else 2**model.levels)
        return {**found, "space": (*windows, Collective("all_reduce", weight_bytes))}
    if not isinstance(model, FNO | ClassicFNO):
        return found
    layers = [leaf for leaf in jax.tree.leaves(model, is_leaf=_is_spectral) if _is_spectral(leaf)]
    sums = tuple(Collective("all_reduce", 8.0 * batch * model.width * _coefficients(layer, shape), 2.0) for layer in layers)
    return {**found, "space": (*sums, Collective("all_reduce", weight_bytes))}


def _of_windows(model: MultigridPatches, batch: int, shape: Sequence[int], devices: int) -> tuple[Collective, ...]:
    """What devices that share the domain exchange for the windows of its patches."""
    mesh, blocks, patches = AbstractMesh((devices,), (SPACE,)), PartitionSpec(None, None, SPACE), PartitionSpec(None, SPACE)
    windows = jax.shard_map(lambda u: model.windows(u)[0], mesh=mesh, in_specs=blocks, out_specs=patches)
    cost = program_cost(windows, jax.ShapeDtypeStruct((model.in_channels, batch, *shape), np.float32))
    return cost.collectives.get((SPACE,), ())


def _is_spectral(leaf: object) -> bool:
    return isinstance(leaf, SpectralConv)


def _coefficients(layer: SpectralConv, shape: Sequence[int]) -> int:
    return math.prod(kept_modes(layer.n_modes, shape, real=not layer.complex_data))
