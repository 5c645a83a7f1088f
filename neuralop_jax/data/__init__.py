"""Datasets: a safe HDF5 reader and an atomic writer, batches from disk or from device memory, symmetries."""

from ._augment import augment as augment
from ._augment import reflect as reflect
from ._augment import transpose as transpose
from ._dataset import HDF5Dataset as HDF5Dataset
from ._describe import describe as describe
from ._device import DeviceData as DeviceData
from ._device import batch_indices as batch_indices
from ._device import check_batch_size as check_batch_size
from ._open import open_hdf5 as open_hdf5
from ._pipeline import GrainBatches as GrainBatches
from ._pipeline import grain_batches as grain_batches
from ._read import read_info as read_info
from ._read import verify as verify
from ._sample import Sample as Sample
from ._writer import write_hdf5 as write_hdf5
