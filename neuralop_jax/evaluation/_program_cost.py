"""What a program costs, counted from its own description before it is compiled: operations, and what devices send each other."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

_FREE = frozenset(
    "broadcast_in_dim concatenate convert_element_type copy copy_p device_put dynamic_slice dynamic_update_slice gather iota "
    "optimization_barrier pad pvary reshape rev select_n sharding_constraint slice split squeeze stop_gradient transpose "
    "bitcast_convert_type real imag complex create_token random_wrap random_unwrap random_seed axis_index".split()
)
"""Operations that move or choose numbers and compute none."""
_KINDS = {
    "psum": "all_reduce",
    "psum_invariant": "all_reduce",
    "pmax": "all_reduce",
    "pmin": "all_reduce",
    "all_gather": "all_gather",
    "all_gather_invariant": "all_gather",
    "all_gather_reduced": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "unreduced_reduce_scatter": "reduce_scatter",
    "all_to_all": "all_to_all",
    "ppermute": "permute",
}


@dataclasses.dataclass(frozen=True)
class Collective:
    r"""An exchange between $n$ devices, made `calls` times.

    - `kind`: `"all_reduce"`, `"reduce_scatter"`, `"all_gather"`, `"all_to_all"` or `"permute"`.
    - `message`: $M$, the bytes that a device has before it or, for `"all_gather"`, after it.
    - `calls`: how often.

    A device sends $2M(n-1)/n$ bytes in an all-reduce, $M(n-1)/n$ in a reduce-scatter, all-gather or all-to-all, and $M$ in a
    permutation; nothing where it is alone.

    **Source:** Thakur, Rabenseifner, Gropp 2005, *Optimization of Collective Communication Operations in MPICH*, section 4,
    [doi:10.1177/1094342005051521](https://doi.org/10.1177/1094342005051521).

    !!! example

        ```python
        from neuralop_jax.evaluation import Collective

        assert Collective("all_reduce", 100.0).sent(4) == 150.0
        ```
    """

    kind: str
    message: float
    calls: float = 1.0

    def sent(self, devices: int) -> float:
        """The bytes that one of so many devices sends in all calls."""
        part = 1.0 if self.kind == "permute" else (devices - 1) / devices
        return self.calls * self.message * part * (2 if self.kind == "all_reduce" else 1) * (devices > 1)

    def rounds(self, devices: int) -> float:
        """How many messages follow one another in all calls, each of which waits for the latency of the network."""
        each = {"all_reduce": 2 * math.log2(devices), "all_to_all": devices - 1, "permute": 1 if devices > 1 else 0}
        return self.calls * each.get(self.kind, math.log2(devices))


@dataclasses.dataclass(frozen=True)
class ProgramCost:
    """What a program costs on each device.

    - `flops`: floating-point operations. A product of matrices has one for each multiplication and each addition, a Fourier
      transform of $N$ complex numbers $5 N \\log_2 N$, half for real ones, any other function of a number one.
    - `collectives`: the exchanges, by the axes of the device mesh; equal ones are one entry.
    - `open_loops`: loops whose length depends on the numbers; each is counted as one pass.
    """

    flops: float
    collectives: Mapping[tuple[str, ...], tuple[Collective, ...]]
    open_loops: int


def program_cost(function: Callable[..., Any], *arguments: Any) -> ProgramCost:
    """Counts what `function(*arguments)` costs; nothing is computed or compiled.

    The body of a loop of known length counts as often as it runs. The analysis of XLA counts it once, and a training step with
    micro-batches or a rollout is such a loop.

    **Arguments:**

    - `function`: of pytrees of arrays.
    - `arguments`: arrays, or `jax.ShapeDtypeStruct`s in their place. Inside `jax.shard_map` shapes are those of one device; a
        `jax.sharding.AbstractMesh` needs no devices.

    **Returns:** a `ProgramCost`. It is that of the algorithm: what a compiler fuses or computes twice is not seen.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp

        from neuralop_jax.evaluation import program_cost

        power = lambda a: jax.lax.scan(lambda b, _: (a @ b, None), a, length=10)[0]
        assert program_cost(power, jnp.ones((8, 8))).flops == 10 * 2 * 8**3
        ```
    """
    count = _Count()
    count.add(jax.make_jaxpr(function)(*arguments).jaxpr, 1.0, {})
    found: dict[tuple[str, ...], list[Collective]] = collections.defaultdict(list)
    for (axes, kind, message), calls in count.collectives.items():
        found[axes].append(Collective(kind, message, calls))
    return ProgramCost(count.flops, {axes: tuple(entries) for axes, entries in found.items()}, count.open_loops)


@dataclasses.dataclass
class _Count:
    """Sums over the equations of a program."""

    flops: float = 0.0
    open_loops: int = 0
    collectives: dict[tuple[tuple[str, ...], str, float], float] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(float)
    )

    def add(self, jaxpr: Jaxpr, times: float, axes: Mapping[str, int]) -> None:
        """Adds what `jaxpr` costs when it runs so many times inside a mesh of `axes`."""
        for equation in jaxpr.eqns:
            name, params = equation.primitive.name, equation.params
            if name == "cond":
                self._add_dearest(params["branches"], times, axes)
                continue
            if name in _KINDS:
                self._exchange(equation, times, axes)
                continue
            if name == "while":
                self.open_loops += 1
            repeats = times * params["length"] if name == "scan" else times
            known = {**axes, **dict(params["mesh"].shape)} if name == "shard_map" else axes
            inner = [params["jaxprs"].solve] if name == "custom_linear_solve" else list(_programs_in(params.values()))
            for program in inner:
                self.add(program.jaxpr if isinstance(program, ClosedJaxpr) else program, repeats, known)
            if not inner:
                self.flops += times * _flops(equation)

    def _add_dearest(self, branches: Any, times: float, axes: Mapping[str, int]) -> None:
        each = [_Count() for _ in branches]
        for count, branch in zip(each, branches, strict=True):
            count.add(branch.jaxpr, times, axes)
        dearest = max(each, key=lambda count: count.flops)
        self.flops += dearest.flops
        self.open_loops += dearest.open_loops
        for key, calls in dearest.collectives.items():
            self.collectives[key] += calls

    def _exchange(self, equation: Any, times: float, axes: Mapping[str, int]) -> None:
        named = equation.params.get("axes", equation.params.get("axis_name"))
        along = tuple(name for name in (named if isinstance(named, tuple) else (named,)) if isinstance(name, str))
        devices = math.prod(axes.get(name, 1) for name in along)
        if devices == 1:
            return
        kind = _KINDS[equation.primitive.name]
        for operand in equation.invars:
            message = _bytes(operand.aval) * (devices if kind == "all_gather" else 1)
            self.collectives[along, kind, message] += times


def _programs_in(values: Any) -> Iterator[ClosedJaxpr | Jaxpr]:
    """The programs among the parameters of an equation, also inside tuples."""
    for value in values:
        if isinstance(value, ClosedJaxpr | Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _programs_in(value)


def _flops(equation: Any) -> float:
    """The operations of one equation that holds no program."""
    name, out = equation.primitive.name, equation.outvars[0].aval
    operands = [v.aval for v in equation.invars if hasattr(v.aval, "shape")]
    if name in _FREE or not hasattr(out, "shape"):
        return 0.0
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return _multiply_add(out.dtype) * math.prod(out.shape) * math.prod(operands[0].shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, place = operands[1].shape, equation.params["dimension_numbers"].rhs_spec[0]
        return _multiply_add(out.dtype) * math.prod(out.shape) * math.prod(kernel) / kernel[place]
    if name == "fft":
        points = math.prod(equation.params["fft_lengths"])
        larger = max(operands[0].shape, out.shape, key=math.prod)
        lines = math.prod(larger[: len(larger) - len(equation.params["fft_lengths"])])
        real = not all(np.issubdtype(aval.dtype, np.complexfloating) for aval in (operands[0], out))
        return (2.5 if real else 5.0) * lines * points * math.log2(max(points, 1))
    if name.startswith(("reduce", "arg", "cum")):
        return float(max(math.prod(operand.shape) for operand in operands))
    if name.startswith("scatter"):
        return float(math.prod(operands[-1].shape)) if "add" in name or "mul" in name else 0.0
    return float(math.prod(out.shape))


def _multiply_add(dtype: Any) -> float:
    return 8.0 if np.issubdtype(dtype, np.complexfloating) else 2.0


def _bytes(aval: Any) -> float:
    return float(math.prod(aval.shape) * aval.dtype.itemsize) if hasattr(aval, "shape") else 0.0
