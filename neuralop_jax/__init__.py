"""Neural operators and PDE surrogates in JAX. Names are imported when first used, so that `import neuralop_jax` is immediate."""

import importlib
from typing import TYPE_CHECKING, Any

from neuralop_jax._version import __version__ as __version__

if TYPE_CHECKING:
    from neuralop_jax import (
        checkpoint as checkpoint,
        config as config,
        data as data,
        equations as equations,
        errors as errors,
        evaluation as evaluation,
        grids as grids,
        implicit as implicit,
        interop as interop,
        inverse as inverse,
        kernels as kernels,
        layers as layers,
        losses as losses,
        metrics as metrics,
        models as models,
        normalizers as normalizers,
        rollout as rollout,
        serving as serving,
        solvers as solvers,
        training as training,
        viz as viz,
    )
    from neuralop_jax.grids import Grid as Grid
    from neuralop_jax.models import (
        FNO as FNO,
        LSM as LSM,
        TFNO as TFNO,
        ClassicFNO as ClassicFNO,
        DeepONet as DeepONet,
        FactFormer as FactFormer,
        ImplicitFNO as ImplicitFNO,
        MgNO as MgNO,
        MultigridPatches as MultigridPatches,
        MultiONet as MultiONet,
        Normalized as Normalized,
        PODDeepONet as PODDeepONet,
        apply_batched as apply_batched,
        build as build,
        spec_of as spec_of,
    )

_HOMES = {
    "Grid": "grids",
    "FNO": "models",
    "LSM": "models",
    "ClassicFNO": "models",
    "TFNO": "models",
    "FactFormer": "models",
    "ImplicitFNO": "models",
    "MgNO": "models",
    "DeepONet": "models",
    "PODDeepONet": "models",
    "MultiONet": "models",
    "MultigridPatches": "models",
    "Normalized": "models",
    "apply_batched": "models",
    "build": "models",
    "spec_of": "models",
}
_PACKAGES = (
    "checkpoint",
    "config",
    "data",
    "equations",
    "errors",
    "evaluation",
    "grids",
    "implicit",
    "interop",
    "inverse",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "models",
    "normalizers",
    "rollout",
    "serving",
    "solvers",
    "training",
    "viz",
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"neuralop_jax.{_HOMES[name]}"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"neuralop_jax.{name}")
    raise AttributeError(f"module 'neuralop_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_PACKAGES})
