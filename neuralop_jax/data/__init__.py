"""Datasets: safe readers of many formats, an atomic HDF5 writer, generators, batches from disk or device memory, symmetries."""

from ._array_file import ArrayFile as ArrayFile, LazyArray as LazyArray
from ._augment import augment as augment, reflect as reflect, transpose as transpose
from ._convert import convert as convert
from ._dataset import HDF5Dataset as HDF5Dataset
from ._describe import describe as describe
from ._device import (
    DeviceData as DeviceData,
    Drawn as Drawn,
    batch_indices as batch_indices,
    check_batch_size as check_batch_size,
)
from ._download import download as download
from ._generate import generate as generate, regenerate as regenerate
from ._join import join as join
from ._matlab import list_mat as list_mat, read_mat as read_mat
from ._open import open_hdf5 as open_hdf5
from ._pipeline import GrainBatches as GrainBatches, grain_batches as grain_batches
from ._random_fields import GaussianRandomField as GaussianRandomField
from ._read import read_info as read_info, verify as verify
from ._sample import Sample as Sample
from ._select import select as select
from ._shared_samples import shared_samples as shared_samples
from ._source import Source as Source, SourceField as SourceField
from ._source_dataset import SourceDataset as SourceDataset
from ._torch_file import list_torch as list_torch, read_torch as read_torch
from ._writer import write_hdf5 as write_hdf5
from .formats import open_source as open_source
