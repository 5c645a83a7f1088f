"""Evaluation of trained operators: errors on held-out data, and speed."""

from ._peer import PeerProcess as PeerProcess
from ._timing import Timing as Timing
from ._timing import machine as machine
from ._timing import time_call as time_call
from ._timing import time_in_turn as time_in_turn
from ._timing import usable_cores as usable_cores
