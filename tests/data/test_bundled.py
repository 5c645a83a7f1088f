"""The bundled files hold the published numbers, and the cards say how they were made."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, read_info, verify
from neuralop_jax.grids import Grid

DATASETS = Path(__file__).parents[2] / "datasets"
DARCY, BURGERS = (DATASETS / name / f"{name}.h5" for name in ("darcy_small", "burgers_small"))


def darcy(split):
    whole = HDF5Dataset(DARCY, split, "permeability", "pressure").read_all()
    return whole.inputs["u"][:, 0], whole.target[:, 0].astype(np.float64)


def velocity(split):
    return HDF5Dataset(BURGERS, split, "velocity", "velocity").read_all().target.astype(np.float64)


@pytest.mark.parametrize("path", [DARCY, BURGERS])
def test_checksums(path):
    assert len(verify(path)) == (6 if path == DARCY else 2)
    assert path.stat().st_size < 2e6


def test_darcy_description():
    info = read_info(DARCY)
    assert {name: (s.num_samples, s.grid.shape) for name, s in info.splits.items()} == {
        "train": (1000, (16, 16)),
        "test_16": (50, (16, 16)),
        "test_32": (50, (32, 32)),
    }
    grid = info.splits["train"].grid
    assert grid == Grid((16, 16), ((0.0, 1.0), (0.0, 1.0)), ("dirichlet", "dirichlet"), (False, False))
    np.testing.assert_array_equal(grid.coordinates()[0], info.splits["test_32"].grid.coordinates()[0][::2])
    assert info.license == "MIT"
    assert "2412.10354" in info.citation


def test_darcy_published_statistics():
    x, y = darcy("train")
    np.testing.assert_array_equal(np.unique(x), [0, 1])
    facts = [x.mean(), y.mean(), y.std(), y.min(), y.max(), y[x == 1].mean(), y[x == 0].mean()]
    np.testing.assert_allclose(facts, [0.4994, 0.3863, 0.3400, -0.428, 2.057, 0.229, 0.543], atol=5e-4)
    largest = y.max(axis=(1, 2))
    np.testing.assert_allclose([largest.min(), largest.max(), largest.mean()], [0.595, 2.057, 1.158], atol=5e-4)
    edges = [np.abs(y[:, 0]).mean(), np.abs(y[:, :, 0]).mean(), np.abs(y[:, -1]).mean(), np.abs(y[:, :, -1]).mean()]
    np.testing.assert_allclose(edges, [0.0034, 0.0034, 0.175, 0.177], atol=6e-4)
    assert y[:, 1:, 1:].min() > 0


def test_darcy_test_grids_are_nested():
    for coarse, fine in zip(darcy("test_16"), darcy("test_32"), strict=True):
        np.testing.assert_array_equal(coarse, fine[:, ::2, ::2])


def test_no_test_field_is_a_training_field():
    train, test = darcy("train")[0], darcy("test_16")[0]
    assert not {field.tobytes() for field in train} & {field.tobytes() for field in test}
    train, test = velocity("train"), velocity("test_16")
    assert not {field.tobytes() for field in train[:, 0]} & {field.tobytes() for field in test[:, 0]}


def test_burgers_description():
    info = read_info(BURGERS)
    split = info.splits["train"]
    assert info.parameters == {"viscosity": 0.01}
    assert split.num_samples == 800
    assert info.splits["test_16"].num_samples == 400
    assert split.grid == Grid((16,), ((0.0, 1.0),), ("periodic",))
    np.testing.assert_allclose(split.times, 0.06 * np.arange(17), rtol=1e-14)
    y = velocity("train")
    assert y.shape == (800, 17, 16)
    np.testing.assert_allclose([y.std(), y.min(), y.max()], [0.1727, -0.8302, 0.8134], atol=5e-5)
    assert np.abs(y.mean(axis=2)).max() < 2e-3


def solve_burgers(u, times, viscosity, points=128, steps=60):
    """Spectral solutions on the unit interval from `u` (samples, n) at equidistant `times`, on the n points of `u`."""
    n = u.shape[1]
    k = 2j * np.pi * np.arange(points // 2 + 1)
    c = np.zeros((len(u), len(k)), complex)
    c[:, : n // 2 + 1] = np.fft.rfft(u) * points / n
    c[:, n // 2] /= 2
    kept = np.abs(k) < 2 * np.pi * points / 3
    dt = (times[1] - times[0]) / steps
    half = np.exp(viscosity * k**2 * dt / 2)

    def advection(c):
        return -0.5 * k * kept * np.fft.rfft(np.fft.irfft(c, points) ** 2)

    frames = [u]
    for _ in times[1:]:
        for _ in range(steps):
            k1 = advection(c)
            k2 = advection(half * (c + dt / 2 * k1))
            k3 = advection(half * c + dt / 2 * k2)
            k4 = advection(half * (half * c + dt * k3))
            c = half * (half * (c + dt / 6 * k1) + dt / 3 * (k2 + k3)) + dt / 6 * k4
        frames.append(np.fft.irfft(c, points)[:, :: points // n])
    return np.stack(frames, axis=1)


def test_burgers_frames_solve_the_equation_at_the_stated_times():
    """The times and the length of the domain are not published; this is the evidence for those in the card."""
    info, y = read_info(BURGERS), velocity("test_16")[:30]
    solved = solve_burgers(y[:, 0], info.splits["test_16"].times, info.parameters["viscosity"])
    error = np.linalg.norm(solved - y, axis=(0, 2)) / np.linalg.norm(y, axis=(0, 2))
    assert error.max() < 3e-4
    late = solve_burgers(y[:, 0], np.arange(17) / 16, info.parameters["viscosity"])
    assert np.linalg.norm(late[:, -1] - y[:, -1]) > 50 * np.linalg.norm(solved[:, -1] - y[:, -1])


@pytest.mark.parametrize(("path", "short"), [(DARCY, "darcy"), (BURGERS, "burgers")])
def test_snippet_in_the_card_makes_the_file(path, short, tmp_path):
    """The snippet reads the published arrays; here they are taken back out of the file."""
    info = read_info(path)
    with h5py.File(path) as file:
        for split in info.splits:
            fields = [file[split]["t0_fields"][field.name][:] for field in info.fields]
            grid = info.splits[split].grid.shape[0]
            arrays = {"x": fields[0], "y": fields[-1], "visc": np.full((1, 1), 0.01)}
            np.savez(tmp_path / f"{short}_{split.split('_')[0]}_{grid}.npz", **arrays)
    snippet = re.search(r"```python\n(.*?)```", (path.parent / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert snippet is not None
    subprocess.run([sys.executable, "-c", snippet[1]], cwd=tmp_path, check=True, timeout=60)
    assert read_info(tmp_path / path.name) == info
    assert verify(tmp_path / path.name) == verify(path)
    for split in info.splits:
        names = [field.name for field in info.fields]
        first, again = (HDF5Dataset(p, split, names, names).fingerprint for p in (path, tmp_path / path.name))
        assert first == again


@pytest.mark.parametrize("path", [DARCY, BURGERS])
def test_card_has_license_and_statistics(path):
    card = (path.parent / "README.md").read_text(encoding="utf-8")
    for heading in ("Equation", "Contents", "What is known, and what is not", "License and citation", "How the file was made"):
        assert f"\n## {heading}\n" in card
    assert "Copyright (c) 2023 NeuralOperator developers" in (path.parent / "LICENSE").read_text(encoding="utf-8")
    field = "pressure" if path == DARCY else "velocity"
    for split in read_info(path).splits:
        y = HDF5Dataset(path, split, field, field).read_all().target.astype(np.float64)
        row = next(line for line in card.splitlines() if line.startswith(f"| `{split}`"))
        for value in (y.std(), y.min(), y.max()):
            assert f"{value:.4f}".replace("-", "−") in row
