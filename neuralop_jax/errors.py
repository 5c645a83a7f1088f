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
    """A checkpoint is damaged or does not fit the model it is loaded into."""


class RunDirError(NeuralOpError, OSError):
    """A run directory is in use, already holds a run, or cannot be written."""


class ProcessError(NeuralOpError, RuntimeError):
    """Another process of the run failed, so that this one cannot go on."""


class ProcessLost(ProcessError):
    """The processes of the run no longer do the same, or one of them is gone: nothing more can be agreed on."""


class TrainingDiverged(NeuralOpError, RuntimeError):
    """The loss or the gradient stopped being finite."""


class OutOfMemoryError(NeuralOpError, MemoryError):
    """The device or the machine has no memory for an array."""


class SolverError(NeuralOpError, RuntimeError):
    """A time step breaks a stability limit, a solve did not converge, or a solution stopped being finite."""
