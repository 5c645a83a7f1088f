"""Readers of the files that others write: each gives a `Source`, whatever the order of its stored axes."""

from ._open_source import open_source as open_source
