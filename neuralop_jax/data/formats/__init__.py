"""Readers of the files that others write: each gives a `Source`, whatever the order of its stored axes."""

from ._numpy import read_npz as read_npz
from ._open_source import open_source as open_source
