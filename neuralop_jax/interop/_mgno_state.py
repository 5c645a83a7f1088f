"""Where the entries of an MgNO state dict belong: the original's names, beside the kernels of the learned levels."""

import dataclasses
from collections.abc import Callable
from typing import Any

from neuralop_jax.interop._mgno_config import Original
from neuralop_jax.layers import MultigridConv
from neuralop_jax.models import MgNO

Leaf = Callable[[Any], Any]


@dataclasses.dataclass
class Places:
    """Entries of a state dict: the leaves that they become, and those that the original keeps but never uses.

    The kernels of transposed convolutions have their channels the other way round, affine maps of the channels are convolutions.
    """

    leaves: dict[str, Leaf] = dataclasses.field(default_factory=dict)
    ignored: list[str] = dataclasses.field(default_factory=list)
    transposed: list[str] = dataclasses.field(default_factory=list)
    pointwise: list[str] = dataclasses.field(default_factory=list)

    def shapes(self, model: MgNO) -> dict[str, tuple[int, ...]]:
        """The shapes that the entries have in the original."""
        shapes = {name: tuple(leaf(model).shape) for name, leaf in self.leaves.items()}
        shapes |= {name: (shapes[name][1], shapes[name][0], *shapes[name][2:]) for name in self.transposed}
        return shapes | {name: (*shapes[name], 1, 1) for name in self.pointwise}

    def affine(self, name: str, where: Leaf | None, *, bias: bool) -> None:
        """An entry with a weight, and perhaps a bias; unused if it belongs nowhere."""
        for part in ("weight", "bias")[: 1 + bias]:
            if where is None:
                self.ignored.append(f"{name}.{part}")
            else:
                self.leaves[f"{name}.{part}"] = lambda m, where=where, part=part: getattr(where(m), part)

    def cycle(self, prefix: str, cycle: MultigridConv, where: Leaf, original: Original) -> None:
        """The entries of one V-cycle.

        **Arguments:**

        - `cycle`: the operator, to see which of its kernels are there.
        - `where`: finds it in the model.
        - `original`: its `smoothing` counts steps after the coarsest level too, which have weights, and no use.
        """
        smoothing, options = original.smoothing, original.options
        bias, residual = options["bias"] == "scalar", options.get("coarse_rhs") == "residual"
        for index, (level, plan, (pre, post)) in enumerate(zip(cycle.kernels, cycle.plans, smoothing, strict=True)):
            kernels = lambda m, index=index: where(m).kernels[index]  # noqa: E731
            has_restriction = index > 0
            for step in range(pre):
                name = f"{prefix}layer{index}.{step + has_restriction}"
                self.affine(f"{name}.S", lambda m, k=kernels, i=step: k(m).smoothers[i], bias=bias)
                if not (plan.from_zero and step == 0):
                    at = step - plan.from_zero
                    self.affine(f"{name}.A", lambda m, k=kernels, i=at: k(m).operators[i], bias=bias)
            for step in range(post):
                name, used = f"{prefix}post_smooth_layer{index}.{step}", level.prolong is not None
                at = plan.num_pre + step
                self.affine(f"{name}.S", (lambda m, k=kernels, i=at: k(m).smoothers[i]) if used else None, bias=bias)
                at -= plan.from_zero
                self.affine(f"{name}.A", (lambda m, k=kernels, i=at: k(m).operators[i]) if used else None, bias=bias)
            if level.prolong is None:
                continue
            name = f"{prefix}layer{index + 1}.0"
            self.affine(f"{name}.Pi", lambda m, k=kernels: k(m).restrict_iterate, bias=False)
            self.affine(f"{name}.R", (lambda m, k=kernels: k(m).restrict_right) if plan.right else None, bias=False)
            if residual:
                self.affine(f"{name}.A", (lambda m, k=kernels: k(m).operators[-1]) if plan.residual else None, bias=bias)
            name = f"{prefix}RTlayers.{index}"
            self.affine(name, lambda m, k=kernels: k(m).prolong, bias=False)
            self.transposed.append(f"{name}.weight")
            if level.norm is not None and level.norm.weight is not None:
                self.affine(f"{prefix}norm_layer_list.{index}", lambda m, k=kernels: k(m).norm, bias=True)


def read_places(original: Original, model: MgNO) -> Places:
    """Where every entry of the state dict of this original belongs in `model`."""
    places = Places()

    def cycle(prefix: str, where: Leaf) -> None:
        places.cycle(prefix, where(model), where, original)
        places.ignored.extend(prefix + name for name in original.surplus)

    def pointwise(name: str, where: Leaf, *, bias: bool) -> None:
        places.affine(name, where, bias=bias)
        places.pointwise.append(f"{name}.weight")

    for index in range(model.depth):
        cycle(f"conv_list.{index}.", lambda m, i=index: m.cycles[i])
        if model.bypasses:
            pointwise(f"linear_list.{index}", lambda m, i=index: m.bypasses[i], bias=True)
        if model.norms:
            places.affine(f"norm_layer_list.{index}", lambda m, i=index: m.norms[i], bias=True)
    for index, (name, has_bias) in enumerate(original.heads):
        if model.head == "multigrid":
            cycle(name, lambda m, i=index: m.projection[i])
        else:
            pointwise(name, lambda m, i=index: m.projection[i], bias=has_bias)
    return places
