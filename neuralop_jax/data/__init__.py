"""Datasets: a safe HDF5 reader and an atomic writer, batches from disk or from device memory, symmetries."""

from ._augment import augment as augment, reflect as reflect, transpose as transpose
from ._dataset import HDF5Dataset as HDF5Dataset
from ._describe import describe as describe
from ._device import DeviceData as DeviceData, batch_indices as batch_indices, check_batch_size as check_batch_size
from ._open import open_hdf5 as open_hdf5
from ._pipeline import GrainBatches as GrainBatches, grain_batches as grain_batches
from ._read import read_info as read_info, verify as verify
from ._sample import Sample as Sample
from ._writer import write_hdf5 as write_hdf5
