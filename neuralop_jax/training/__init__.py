"""Training: a pure step, compiled intervals of it, and a short loop around them."""

from ._ensemble import ensemble_state as ensemble_state, ensemble_step as ensemble_step
from ._fit import FitResult as FitResult, fit as fit
from ._guard import Guard as Guard, GuardRule as GuardRule
from ._interval import DeviceInterval as DeviceInterval, Interval as Interval, StreamInterval as StreamInterval
from ._loggers import Logger as Logger
from ._mesh import DeviceMesh as DeviceMesh
from ._optimizers import make_optimizer as make_optimizer, make_schedule as make_schedule
from ._penalized import penalized as penalized
from ._plan import GridPlan as GridPlan, Plan as Plan, plan as plan
from ._precision import in_precision as in_precision
from ._processes import follow as follow
from ._rematerialized import rematerialize as rematerialize
from ._run_directory import RunDirectory as RunDirectory
from ._scaling import Network as Network, mesh_exchanges as mesh_exchanges, predicted_efficiency as predicted_efficiency
from ._setup import Experiment as Experiment, prepare as prepare, stream as stream
from ._state import TrainState as TrainState
from ._step import each_sample as each_sample, make_step as make_step, supervised as supervised
from ._stopping import EarlyStopping as EarlyStopping, StopRequest as StopRequest
from ._together import alike as alike, fit_together as fit_together
