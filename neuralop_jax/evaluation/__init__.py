"""Evaluation of trained operators: errors on held-out data, and speed."""

from neuralop_jax.evaluation._analysis import analyze as analyze
from neuralop_jax.evaluation._confidence import bootstrap_intervals as bootstrap_intervals, student_interval as student_interval
from neuralop_jax.evaluation._evaluate import evaluate as evaluate, sample_errors as sample_errors
from neuralop_jax.evaluation._leaderboard import (
    merge as merge,
    read_records as read_records,
    record as record,
    rewrite as rewrite,
    table as table,
)
from neuralop_jax.evaluation._peer import ModelPeer as ModelPeer, PeerProcess as PeerProcess, SolverPeer as SolverPeer
from neuralop_jax.evaluation._program_cost import (
    Collective as Collective,
    ProgramCost as ProgramCost,
    program_cost as program_cost,
)
from neuralop_jax.evaluation._resolution import certificate_grids as certificate_grids, certify as certify
from neuralop_jax.evaluation._rollout import evaluate_rollout as evaluate_rollout
from neuralop_jax.evaluation._timing import (
    Timing as Timing,
    machine as machine,
    resident_bytes as resident_bytes,
    time_call as time_call,
    time_in_turn as time_in_turn,
    usable_cores as usable_cores,
)
from neuralop_jax.evaluation._uncertainty import (
    ConformalBands as ConformalBands,
    conformal_bands as conformal_bands,
    coverage as coverage,
)
