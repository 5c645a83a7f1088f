# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Moving from neuraloperator and DeepXDE
#
# What is called what. The left columns are neuraloperator 2.0.0 and DeepXDE 1.15.0; in the middle, names without a dot are arguments
# of what the head of the column names, names of a configuration stand as `training.steps`, and all others are in `neuralop_jax`. A
# dash means that there is nothing of the kind here. Trained weights need no table: `python -m neuralop_jax convert` reads them.
#
# Five habits change:
#
# - A model takes one sample, `(channels, *space)`. `model.batched` takes many, `jax.vmap(model)` does so too.
# - Nothing is drawn without a `key`: weights when a model is built, dropout when it is called. A call without one is inference;
#   there is no `model.train()`.
# - Models do not change. A training step returns new weights, and a model with more modes is another model.
# - The units belong to the operator: `Normalized` reads and returns physical values, so that no data processor has to be kept beside it.
# - On every grid a weight meets the wavenumber that it was trained on; neuraloperator 2.0.0 is a wavenumber off on axes of odd length.

# %% [markdown]
# ## The same training in both
#
# ```python
# train_loader, test_loaders, data_processor = load_darcy_flow_small(
#     n_train=1000, batch_size=20, n_tests=[100, 50], test_resolutions=[16, 32], test_batch_sizes=[20, 20]
# )
# model = FNO(n_modes=(8, 8), in_channels=1, out_channels=1, hidden_channels=24)
# optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
# scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
# trainer = Trainer(model=model, n_epochs=4, data_processor=data_processor)
# trainer.train(train_loader, test_loaders, optimizer, scheduler, training_loss=LpLoss(d=2, p=2), eval_losses={"l2": LpLoss(d=2, p=2)})
# ```
#
# is

# %%
import os
import tempfile
from pathlib import Path

import jax.numpy as jnp
from rich.console import Console

from neuralop_jax.checkpoint import load
from neuralop_jax.config import DataConfig, ExperimentConfig, LossConfig, ModelConfig, OptimizerConfig, TrainingConfig
from neuralop_jax.data import HDF5Dataset
from neuralop_jax.training import fit
from neuralop_jax.viz import Label, plot_sample

# %config InlineBackend.figure_format = "retina"

# %matplotlib inline
epochs = 1 if os.environ.get("NEURALOP_JAX_QUICK") == "1" else 4
file = Path("../datasets/darcy_small/darcy_small.h5")
experiment = ExperimentConfig(
    data=DataConfig(path=str(file), input=("permeability",), target=("pressure",), batch_size=20),
    model=ModelConfig(kind="fno", options={"n_modes": [8, 8], "width": 24}),
    loss=LossConfig(kind="relative_l2"),
    optimizer=OptimizerConfig(kind="adamw", learning_rate=5e-3, weight_decay=1e-4, schedule="cosine"),
    training=TrainingConfig(steps=50 * epochs, log_every=50, save_every=50),
)
run = Path(tempfile.mkdtemp()) / "run"
result = fit(experiment, run_dir=run, console=Console(quiet=True))
for split, errors in result.results["splits"].items():
    print(f"{split}: relative L2 {errors['relative_l2']:.3f}")

# %% [markdown]
# The 1000 fields are those that `load_darcy_flow_small` downloads; an epoch of 50 batches is 50 steps. What was trained is read
# from the run and takes and gives physical values:

# %%
operator = load(run)
test = HDF5Dataset(file, "test_32", "permeability", "pressure")
u, target = test[0].inputs["u"], test[0].target
names = {"input": [Label("permeability")], "output": [Label("pressure")]}
plot_sample(u, target, operator(jnp.asarray(u)), test.grid, **names)

# %% [markdown]
# ## neuraloperator: the arguments of `FNO` and `TFNO`
#
# | `neuralop.models.FNO` | here: `models.FNO` | |
# |---|---|---|
# | `in_channels` | `in_channels` | |
# | `out_channels` | `out_channels` | |
# | `n_modes` | `n_modes` | or one number with `num_dims` |
# | `hidden_channels` | `width` | |
# | `n_layers` | `depth` | |
# | `lifting_channel_ratio` | `lifting_ratio` | |
# | `projection_channel_ratio` | `projection_ratio` | |
# | `positional_embedding` | `coordinates` | `"grid"` is true, `None` is false |
# | `non_linearity` | `activation` | a name in `layers.ACTIVATIONS` |
# | `norm` | `norm` | without `_norm`; `"ada_in"` is `"adaptive"` with `num_parameters` |
# | `use_channel_mlp` | `channel_mlp` | without it, `repeat_activation` makes the network of neuraloperator |
# | `channel_mlp_expansion` | `channel_mlp_expansion` | |
# | `channel_mlp_skip` | `channel_mlp_bypass` | `"soft-gating"` is `"soft_gating"`, `None` is `"none"` |
# | `channel_mlp_dropout` | – | |
# | `fno_skip` | `bypass` | the same names |
# | `resolution_scaling_factor` | `output_scaling` | one factor per block |
# | `domain_padding` | `padding` | zeros on both sides in both, as a fraction of the points |
# | `stabilizer` | `stabilizer` | |
# | `fno_block_precision` | `training.precision` | `"bfloat16"` for activations, transforms stay in single precision |
# | `max_n_modes` | `max_n_modes` | $m$ as last entry there is $2(m - 1)$ here |
# | `complex_data` | `complex_data` | |
# | `factorization` | `factorization` | `"tucker"`, `"cp"`, `"tt"` in small letters; `models.TFNO` has the defaults of `TFNO` |
# | `rank` | `rank` | a share is at most 1 |
# | `fixed_rank_modes` | `fixed_rank_modes` | which modes |
# | `implementation` | `implementation` | |
# | `decomposition_kwargs` | – | without effect there |
# | `separable` | `separable` | |
# | `preactivation` | `preactivation` | |
# | `conv_module` | – | |

# %% [markdown]
# ## neuraloperator: models and layers
#
# | `neuralop` | here | |
# |---|---|---|
# | `models.FNO.forward` | `models.FNO.batched` | of many; `models.apply_batched` in portions that fit the cache |
# | `models.FNO.n_modes` | `models.FNO.with_n_modes` | another model with the same weights |
# | `models.FNO.save_checkpoint` | `checkpoint.save_model` | |
# | `models.FNO.from_checkpoint` | `checkpoint.load` | |
# | `models.TFNO` | `models.TFNO` | `models.decompose` makes one of a trained `models.FNO` |
# | `models.get_model` | `models.build` | of a specification; `models.spec_of` is the inverse |
# | `models.UNO`, `models.GINO`, `models.FNOGNO` | – | |
# | `models.SFNO`, `models.LocalNO`, `models.CODANO` | – | |
# | `models.UQNO` | – | |
# | `layers.spectral_convolution.SpectralConv` | `layers.SpectralConv` | the result in full precision, `"forward"` normalization |
# | `layers.fno_block.FNOBlocks` | `layers.FourierBlock` | one block; a model holds several |
# | `layers.channel_mlp.ChannelMLP` | `layers.ChannelMLP` | takes the sizes `(in, hidden, out)` |
# | `layers.skip_connections.SoftGating` | `layers.SoftGate` | |
# | `layers.skip_connections.Flattened1dConv` | `layers.Pointwise` | |
# | `layers.embeddings.GridEmbeddingND` | `layers.append_coordinates` | coordinates on $[0, 1)$ |
# | `layers.padding.DomainPadding` | `layers.pad_domain` | `layers.crop_domain` undoes it |
# | `layers.normalization_layers.InstanceNorm` | `layers.InstanceNorm` | |
# | `layers.normalization_layers.BatchNorm` | `layers.BatchNorm` | `models.calibrate` measures its statistics |
# | `layers.normalization_layers.AdaIN` | `layers.AdaptiveNorm` | |
# | `layers.resample.resample` | `kernels.resample` | by wavenumber in every dimension |

# %% [markdown]
# ## neuraloperator: losses
#
# A loss takes one sample, `(prediction, target, grid)`; `training.supervised` averages it over the batch.
#
# | `neuralop.losses` | here | |
# |---|---|---|
# | `data_losses.LpLoss` | `losses.relative_l2` | there the sum over samples and channels, here over all channels together |
# | | `metrics.relative_l2` | of every channel by itself |
# | `data_losses.H1Loss` | `losses.difference_h1` | with `periodic_in_x`; the grid says so here |
# | | `losses.relative_h1` | spectral derivatives on periodic axes |
# | `data_losses.MSELoss` | `losses.mse` | |
# | `equation_losses.BurgersEqnLoss` | `equations.Burgers` | its right-hand side, `equations.Burgers.rhs` |
# | `differentiation.FourierDiff` | `kernels.derivative` | |
# | `meta_losses.WeightedSumLoss` | – | a sum of losses is a function of three arguments |
# | `meta_losses.Relobralo`, `meta_losses.SoftAdapt` | – | |

# %% [markdown]
# ## neuraloperator: data and training
#
# | `neuralop` | here | |
# |---|---|---|
# | `data.datasets.load_darcy_flow_small` | `data.HDF5Dataset` | of `datasets/darcy_small`, which comes with the library |
# | `data.datasets.PTDataset` | `data.SourceDataset` | reads `.pt` as it is; `data.convert` makes an HDF5 file |
# | `data.datasets.TheWellDataset` | `data.open_source` | also PDEBench and MATLAB |
# | `data.transforms.normalizers.UnitGaussianNormalizer` | `normalizers.GaussianNormalizer` | `normalizers.fit_normalizer` fits it |
# | `data.transforms.data_processors.DefaultDataProcessor` | `models.Normalized` | part of the operator |
# | `data.transforms.data_processors.MGPatchingDataProcessor` | `models.MultigridPatches` | an operator around an operator |
# | `training.Trainer` | `training.fit` | or `training.make_step` in a loop of your own |
# | `training.AdamW` | `optimizer.kind` | any Optax rule: all weights are real |
# | `training.IncrementalFNOTrainer` | `models.FNO.with_n_modes` | between two trainings |
# | `training.load_training_state` | `training.fit` | `resume=True` goes on to the bit |
# | `training.setup` | `mesh.data` | processes are found by `train` |
#
# | `neuralop.training.Trainer` | here | |
# |---|---|---|
# | `n_epochs` | `training.steps` | steps, not epochs |
# | `eval_interval` | `training.evaluate_every` | in steps |
# | `mixed_precision` | `training.precision` | |
# | `use_distributed` | `mesh.data` | number of devices |
# | `wandb_log` | `training.loggers` | or an object with the methods of `training.Logger` |
# | `data_processor` | `data.input_normalizer` | and `data.target_normalizer` |
# | `device` | – | JAX chooses; `JAX_PLATFORMS` in the environment |

# %% [markdown]
# ## DeepXDE: operator networks
#
# `DeepONet` and `DeepONetCartesianProd` are one class here: `model(u, y=points)` is one function at any points, `model.batched`
# takes points of its own for every function, `model.evaluate` the same ones for all.
#
# | `deepxde.nn.DeepONet` | here: `models.DeepONet` | |
# |---|---|---|
# | `layer_sizes_branch` | `sensors` | the first entry |
# | | `branch_hidden` | the entries between |
# | | `num_basis` | the last entry |
# | `layer_sizes_trunk` | `num_dims` | the first entry |
# | | `trunk_hidden` | the entries between; the last is `num_basis` |
# | `activation` | `branch_activation` | and `trunk_activation` |
# | `kernel_initializer` | `initializer` | `"Glorot normal"` is `"glorot_normal"` |
# | `num_outputs` | `out_channels` | |
# | `multi_output_strategy` | `multi_output` | the same names |
# | `regularization` | `optimizer.weight_decay` | |
#
# | `deepxde.nn` | here | |
# |---|---|---|
# | `DeepONetCartesianProd` | `models.DeepONet` | |
# | `PODDeepONet` | `models.PODDeepONet` | finds the modes of the training outputs by itself |
# | `FNN` | `layers.MLP` | |
# | `MIONetCartesianProd` | – | |

# %% [markdown]
# ## DeepXDE: data and training
#
# | `deepxde` | here | |
# |---|---|---|
# | `data.Triple` | `data.Sample` | with `y` among its inputs |
# | `data.TripleCartesianProd` | `data.HDF5Dataset` | all outputs on one grid |
# | `data.GRF` | `data.GaussianRandomField` | by its spectrum, in any dimension |
# | `data.PDEOperator` | – | |
# | `Model.compile` | `config.OptimizerConfig` | and `config.LossConfig` |
# | `Model.train` | `training.fit` | |
# | `Model.predict` | `models.DeepONet.batched` | |
# | `Model.save` | `checkpoint.save_model` | |
# | `Model.restore` | `checkpoint.load` | |
# | `callbacks.EarlyStopping` | `training.early_stop_patience` | evaluations of `training.early_stop_split` |
# | `callbacks.ModelCheckpoint` | `training.save_every` | |
# | `metrics.l2_relative_error` | `metrics.relative_l2` | of one sample |
# | `losses.mean_l2_relative_error` | `losses.relative_l2` | |
# | `losses.mean_squared_error` | `losses.mse` | |
#
# | `deepxde.Model.compile` and `train` | here | |
# |---|---|---|
# | `optimizer` | `optimizer.kind` | |
# | `lr` | `optimizer.learning_rate` | |
# | `decay` | `optimizer.schedule` | |
# | `loss` | `loss.kind` | |
# | `iterations` | `training.steps` | |
# | `batch_size` | `data.batch_size` | |
# | `display_every` | `training.log_every` | |
