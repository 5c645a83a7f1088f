"""The errors of the library: one line that says what, where, found, wanted, and the remedy.

Every class also derives from the built-in error a Python user would expect (`ValueError`, `OSError`, ...), so that existing
`except` clauses keep working. The command line prints the message alone and exits with code 2.
"""

from neuralop_jax._checks import printable, shortened

_LONGEST_LINE = 2000


class NeuralOpError(Exception):
    """Base of every error that the library raises on purpose.

    Whatever part of a file or of a command line a message repeats, it is one line of at most 2,000 characters or so, and no
    character of it steers a terminal.
    """

    def __str__(self) -> str:
        return printable(shortened(super().__str__(), _LONGEST_LINE))


class ConfigError(NeuralOpError, ValueError):
    """An option is unknown, of the wrong type, out of range, or does not fit the data."""


class DataError(NeuralOpError, ValueError):
    """A data file is missing, damaged, unsafe, or does not hold what was asked for."""


class ModelInputError(NeuralOpError, ValueError):
    """An array given to a model has the wrong rank, channels, type or an argument the model cannot use."""


class CheckpointError(NeuralOpError, ValueError):
    """A checkpoint is missing, damaged, in the way, cannot be written, or does not fit the model or the precision.

    !!! example

        ```python
        from neuralop_jax.checkpoint import load
        from neuralop_jax.errors import CheckpointError

        try:
            load("runs/typo")
        except CheckpointError as error:
            said = str(error)
        assert said == "no checkpoints: runs/typo is not a directory. Name a run, or what save_model wrote."
        ```
    """


class RunDirError(NeuralOpError, OSError):
    """A run directory is in use, already holds a run or other files, is damaged, or cannot be read or written.

    !!! example

        ```python
        import pathlib
        from neuralop_jax.errors import RunDirError
        from neuralop_jax.training import RunDirectory

        pathlib.Path("results/tables").mkdir(parents=True)
        try:
            with RunDirectory("results"):
                pass
        except RunDirError as error:
            said = str(error)
        assert said == "results holds files but no run. Choose another --out, or empty it."
        ```
    """


class ProcessError(NeuralOpError, RuntimeError):
    """Another process of the run failed, so that this one cannot go on.

    Processes that `jax.distributed` joined raise it in `fit` or `follow`. It repeats what the other said, which is what to mend:
    "process 1 of 4 failed before the first step: ...".
    """


class ProcessLost(ProcessError):
    """The processes of the run no longer do the same, or one of them is gone: nothing more can be agreed on.

    It comes in the middle of what all compute together, when a machine fails or a process is killed. End the processes that are
    left, and start all of them again with `resume=True` (`--resume`): the run goes on from its newest checkpoint.
    """


class TrainingDiverged(NeuralOpError, RuntimeError):
    """The loss or the gradient stopped being finite, or the gradient is far larger than usual, and the run knows no way on.

    `fit` raises it with the step, the last finite loss, the learning rate, the last good checkpoint and what to try: to clip the
    gradient (`--optimizer.clip 1`), a lower learning rate, or to skip such steps (`--training.nonfinite skip`). The figures of
    that step are in `nan_batch.json` of the run directory, as a rule beside its batch, `nan_batch.npz`.
    """


class OutOfMemoryError(NeuralOpError, MemoryError):
    """The device or the machine has no memory for an array.

    `fit` raises it with the bytes that were wanted, what a step holds, the newest checkpoint, and the options that take less:
    half the samples at once (`--training.micro-batch`), `--training.rematerialized true` and others. Outside `fit` an allocation
    that fails is the `RuntimeError` of JAX or the `MemoryError` of NumPy.
    """


class SolverError(NeuralOpError, RuntimeError):
    """A time step breaks a stability limit, a solve did not converge, a solution stopped being finite, or a field or a grid does
    not fit the equation or the solver.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Burgers
        from neuralop_jax.errors import SolverError
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import ETDRK, integrate

        grid = Grid((64,), boundary=("periodic",))
        u0 = jnp.sin(2 * jnp.pi * grid.coordinates()[0])[None]
        try:
            integrate(ETDRK(Burgers(viscosity=0.01), grid, dt=0.1), u0, num_steps=10)
        except SolverError as error:
            said = str(error)
        assert "breaks the CFL condition" in said and "Use dt <= 0.0297." in said
        ```
    """
