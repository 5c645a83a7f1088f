"""Ranks of low-rank tensors from the share of the dense tensor's numbers that they may hold, and how many they then hold."""

import math
from collections.abc import Sequence


def tucker_rank(shape: Sequence[int], ratio: float, fixed: Sequence[int] = ()) -> tuple[int, ...]:
    r"""Ranks $r_k = \max(1, [c I_k])$ with $c$ the root of $c^N P + c \sum_k I_k^2 = \rho P$, $P = \prod_k I_k$.

    The modes in `fixed` keep $r_k = I_k$, and $N$ counts the others only.

    !!! example

        ```python
        from neuralop_jax.kernels import tucker_rank

        assert tucker_rank((64, 64, 12, 7), 0.1) == (35, 35, 7, 4)
        ```
    """
    total, squares, free = math.prod(shape), sum(i * i for i in shape), len(shape) - len(set(fixed))
    low, high = 0.0, max(1.0, ratio)
    for _ in range(200):  # bisection: the left side grows with c
        middle = (low + high) / 2
        above = middle**free * total + middle * squares > ratio * total
        low, high = (low, middle) if above else (middle, high)
    return tuple(size if mode in fixed else max(1, round(high * size)) for mode, size in enumerate(shape))


def cp_rank(shape: Sequence[int], ratio: float) -> int:
    r"""The rank $R = \max(1, [\rho P / \sum_k I_k])$ of a sum of $R$ outer products.

    !!! example

        ```python
        from neuralop_jax.kernels import cp_rank, cp_size, tt_rank, tt_size, tucker_rank, tucker_size

        shape, ratio = (64, 64, 12, 7), 0.1
        sizes = [cp_size(shape, cp_rank(shape, ratio)), tt_size(shape, tt_rank(shape, ratio))]
        sizes.append(tucker_size(shape, tucker_rank(shape, ratio)))
        assert all(abs(size / (64 * 64 * 12 * 7) - ratio) < 0.02 for size in sizes)
        ```
    """
    return max(1, round(math.prod(shape) * ratio / sum(shape)))


def tt_rank(shape: Sequence[int], ratio: float) -> tuple[int, ...]:
    r"""Ranks $(1, r_1, \dots, r_{N-1}, 1)$ of a tensor train, $r_k = \max(1, [s d_k])$ with $d_k = (I_k + I_{k+1})/2$.

    $s$ is the positive root of $a s^2 + b s = \rho P$ with $a = \sum_{k=2}^{N-1} d_{k-1} I_k d_k$ and
    $b = I_1 d_1 + I_N d_{N-1}$. A matrix, $N = 2$, takes $a = d_1^2 I_1$ as tensorly does.
    """
    means = [(i + j) / 2 for i, j in zip(shape, shape[1:], strict=False)]
    quadratic = sum(before * size * after for before, size, after in zip(means[:-1], shape[1:-1], means[1:], strict=True))
    quadratic = quadratic or means[0] ** 2 * shape[0]
    linear = shape[0] * means[0] + shape[-1] * means[-1]
    root = (math.sqrt(linear**2 + 4 * quadratic * ratio * math.prod(shape)) - linear) / (2 * quadratic)
    return (1, *(max(1, round(mean * root)) for mean in means), 1)


def tucker_size(shape: Sequence[int], ranks: Sequence[int]) -> int:
    """How many numbers core and factors hold."""
    return math.prod(ranks) + sum(i * r for i, r in zip(shape, ranks, strict=True))


def cp_size(shape: Sequence[int], rank: int) -> int:
    """How many numbers the factors and the weights of the terms hold."""
    return rank * (sum(shape) + 1)


def tt_size(shape: Sequence[int], ranks: Sequence[int]) -> int:
    """How many numbers the cores hold."""
    return sum(left * i * right for left, i, right in zip(ranks, shape, ranks[1:], strict=False))
