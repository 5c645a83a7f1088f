"""The entries of the state dicts of latent spectral models, written out here once more, and numbers for them by a formula."""

import numpy as np


def named(shapes):
    """Weights of these shapes, and biases as long as their first axis."""
    return {f"{name}.weight": shape for name, shape in shapes.items()} | {f"{name}.bias": s[:1] for name, s in shapes.items()}


def network(dims, width=8, basis=5, tokens=3):
    """The U-shaped network of five scales with its neural spectral blocks, and the last layers of the whole."""
    widths, ones = [width * 2 ** min(i, 3) for i in range(5)], (1,) * dims
    shapes = {"outc.conv": (width, width, *ones), "fc1": (128, width), "fc2": (1, 128)}
    for i, size in enumerate(widths, start=1):
        shapes |= {f"process{i}.encoder_attn": (2 * size, size, *ones), f"process{i}.decoder_attn": (size, size, *ones)}
    found = named(shapes)
    for i, size in enumerate(widths, start=1):
        found |= {f"process{i}.weights": (size, 2 * basis), f"process{i}.latent": (8, tokens, size // 8)}
    steps = [("inc", width, width, width)]
    steps += [(f"down{i}.maxpool_conv.1", widths[i - 1], widths[i], widths[i]) for i in range(1, 5)]
    steps += [(f"up{i}.conv", 2 * widths[4 - i], widths[4 - i], widths[max(3 - i, 0)]) for i in range(1, 5)]
    for name, before, between, after in steps:
        for place, (inside, outside) in {0: (before, between), 3: (between, after)}.items():
            found[f"{name}.double_conv.{place}.weight"] = (outside, inside, *(3,) * dims)
            for entry in ("weight", "bias", "running_mean", "running_var"):
                found[f"{name}.double_conv.{place + 1}.{entry}"] = (outside,)
    return found


def state(shapes):
    """Every entry by a formula in its place among the sorted names: the one that the stored outputs belong to."""
    return {name: _values(name, shape, i) for i, (name, shape) in enumerate(sorted(shapes.items()))}


def _values(name, shape, index):
    points = np.arange(np.prod(shape))
    wave = np.cos(1.7 * points + index).reshape(shape)
    if "fftproject" in name:
        return (wave + 1j * np.sin(2.9 * points + index).reshape(shape)) / 8
    if name.endswith("running_var"):
        return 1 + 0.5 * wave
    if len(shape) == 1:
        return 1 + 0.3 * wave if name.endswith("weight") else 0.2 * wave
    return wave if name.endswith(("weights", "latent")) else wave * (3 / np.prod(shape[1:])) ** 0.5
