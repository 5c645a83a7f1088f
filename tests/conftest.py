"""Double precision, no silent promotion, no pictures on a screen, however the tests are run."""

import contextlib
import functools
import gc
import importlib.metadata
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Nearly all the time of the suite is compilation. XLA's passes over a program are those that users get; the code for its parts is
# made by the simpler of its two generators, and by LLVM without the expensive passes. Rounding differs, nothing else. `XLA_FLAGS=`
# in front of the tests leaves all that as it is, as do versions that may not know these flags.
if "XLA_FLAGS" not in os.environ and importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import equinox as eqx
import jax
import numpy as np
import pytest
from jax._src.interpreters import mlir
from jax.experimental.compilation_cache import compilation_cache

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")
jax.config.update("jax_numpy_rank_promotion", "raise")

# JAX makes an MLIR context for every program and registers all dialects in it: a third of the time of a small program. Here the
# programs of a file share one.
SHARED_CONTEXT = jax.__version__.startswith("0.10.")
if SHARED_CONTEXT:
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)

# Tracing makes many objects that live long: with the usual thresholds Python looks through all of them again and again.
gc.set_threshold(50_000, 20, 50)

# What one training compiled, the next ones load.
compiled_programs = tempfile.TemporaryDirectory(prefix="neuralop_jax_tests_")
jax.config.update("jax_compilation_cache_dir", compiled_programs.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="repeat the tests of faults as often as `make faults` does")
    parser.addoption("--whole-notebooks", action="store_true", help="run notebooks whole and keep what they show")


def pytest_collection_finish() -> None:
    gc.freeze()  # modules stay as long as the tests


def num_memory_maps() -> int:
    maps = Path("/proc/self/maps")
    return len(maps.read_bytes().splitlines()) if maps.exists() else 0


@pytest.fixture(autouse=True, scope="module")
def keep_programs_on_disk(request):
    """Where whole trainings are run, each compiles what others compiled; elsewhere writing programs takes longer than it saves."""
    jax.config.update("jax_enable_compilation_cache", request.path.parent.name in ("cli", "faults", "training"))
    compilation_cache.reset_cache()


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Every compiled program takes two or three of the 65,530 memory maps that Linux gives a process: the suite needs more. To
    forget them after every file would compile again what files have in common."""
    yield
    if SHARED_CONTEXT:
        mlir.make_ir_context.cache_clear()
    if num_memory_maps() > 20_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def files_of_at_most():
    """`with files_of_at_most(size):` the operating system refuses larger files, as a full disk does."""

    @contextlib.contextmanager
    def refuse(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return refuse


@pytest.fixture(scope="session")
def compiled():
    """`compiled(function, *arguments)`: what `function` returns, as NumPy arrays, from one program. Operation by operation it
    would take dozens of programs, each of which compiles as long."""

    def compute(function, *arguments):
        return jax.tree.map(np.asarray, eqx.filter_jit(function)(*arguments))

    return compute


@pytest.fixture
def getkey():
    """A source of fresh random keys, the same ones in every run."""
    key = jax.random.key(0)

    def draw():
        nonlocal key
        key, fresh = jax.random.split(key)
        return fresh

    return draw


@pytest.fixture(scope="session")
def on_eight_devices():
    """What a script prints, as JSON, in a process of its own: that of the tests has one device."""

    def run(script: str):
        folder = pathlib.Path(__file__).parent.parent
        settings = {"JAX_NUM_CPU_DEVICES": "8", "JAX_ENABLE_X64": "1", "PYTHONPATH": str(folder)}
        done = subprocess.run([sys.executable, script], cwd=folder, env=os.environ | settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
