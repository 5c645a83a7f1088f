"""Evaluation of trained operators: errors on held-out data, and speed."""

from ._peer import PeerProcess as PeerProcess
from ._timing import (
    Timing as Timing,
    machine as machine,
    time_call as time_call,
    time_in_turn as time_in_turn,
    usable_cores as usable_cores,
)
