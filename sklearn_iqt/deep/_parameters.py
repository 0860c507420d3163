"""The prose of the parameters that all nets share, and the decorator that puts it into docstrings.

A parameter of a net is a field of its dataclass: the field has the type and the default, the
docstring has the prose. The docstring of a net leaves out the parameters that are described here.
"""

from __future__ import annotations

import inspect
import re
from typing import TypeVar

__all__ = ["document_parameters"]

SHARED = """\
scale : int or tuple of 3 ints
    High-resolution voxels for each low-resolution voxel, along each axis.
alignment : {"center", "corner"}
    Where low-resolution voxels lie on the high-resolution grid, see
    :func:`sklearn_iqt.preprocessing.upsample`.
patch_size : int or tuple of 3 ints
    Shape of the training patches, in low-resolution voxels. By default a patch has 32
    high-resolution voxels along each axis.
stride : int or tuple of 3 ints
    Low-resolution voxels from one patch to the next. By default half the patch size.
background : float, in [0, 1]
    Patches with a larger fraction of background are not trained on. If prediction gets a mask,
    they are interpolated.
global_skip : bool
    Whether the net learns the difference from the interpolated volume.
padding_mode : {"replicate", "zeros"}
    What convolutions see beyond the edge of a patch. The nets of the papers see zeros, and are
    applied to patches of the training size for that reason. With repeated edges a net also does
    well on the large tiles that prediction uses.
keep_zeros : bool
    Whether predictions of volumes are 0 where a scan is exactly 0, and not negative unless the
    scan is.
max_epochs : int
    Walks through the training patches, or through ``epoch_size`` of them.
max_steps : int
    Training steps, instead of ``max_epochs``.
epoch_size : int
    Patches between two validations and checkpoints. By default all training patches.
batch_size : int
    Patches of a step.
lr : float
    Learning rate.
lr_milestones : sequence of float
    Fractions of the training after which the learning rate is halved.
lr_decay : float
    Learning rates are divided by ``1 + lr_decay * step`` as well.
weight_average : float, in [0, 1)
    Part of a running average of the weights that a step keeps, such as 0.999. The average is then
    validated and kept instead of the weights of the last step. 0 means no average.
average_flips : bool
    Whether the prediction of a volume is the average over the volume and its mirror images along
    each axis. It takes four times as long.
augment : bool
    Whether to flip and rotate patches at random.
validation_fraction : float, in [0, 1)
    Fraction of the volumes that are held out and validate every epoch. The weights of the epoch
    with the lowest validation loss are kept; ``net_.history[:, "valid_loss_best"]`` is True for
    every epoch that was better than all before it.
patience : int
    Epochs without a lower validation loss after which training ends. By default training does not
    end early.
tile_size : int or tuple of 3 ints
    Low-resolution voxels that a tile contributes in prediction. It bounds the memory and does not
    change the result beyond rounding. By default tiles take about 4 GiB and overlap as little as
    possible. They take more if the net sees so far that such tiles would compute every voxel more
    than four times.
margin : int or tuple of 3 ints
    Low-resolution voxels that tiles overlap. By default as many as can change the result. With
    fewer, prediction is faster and tiles differ at their borders.
device : str
    ``"auto"`` is a GPU if there is one. Otherwise the name that torch gives to a device.
mixed_precision : bool
    Whether to compute in bfloat16 where torch considers it safe.
checkpoint : path
    Folder that keeps the state of the training after each epoch, in files of at most 15 MiB. If
    there is a state in the folder, ``fit`` continues from it: to the same result on the same
    machine, and also from a copy of the folder on another one. What ``callbacks`` remember of
    earlier epochs is not kept.
warm_start : bool
    Whether ``fit`` starts from the weights of the last ``fit``.
callbacks : list of skorch callbacks
    Callbacks or ``("name", callback)`` tuples, for instance ``skorch.callbacks.TensorBoard`` or
    ``EarlyStopping``. A callback that raises KeyboardInterrupt at the end of an epoch ends the
    training. ``fit`` uses copies. ``LRScheduler`` is refused: the estimator sets the learning
    rates.
target_unit : {"own", "low"}
    Unit of the high volumes in training. With ``"own"``, each is divided by its gain relative to
    its low volume. A gain that differs between subjects is then not learned as if it were contrast,
    and predictions are multiplied by the median gain. With ``"low"``, high volumes are in the unit
    of their low volumes, and gains are learned.
max_patches : int
    Most patches to train on, shared evenly by the volumes. By default all.
random_state : int, RandomState instance or None
    Determines weights, order and augmentation.
verbose : int
    Whether to show progress.
"""

T = TypeVar("T", bound=type)
SECTION = re.compile(r"(?<=^Parameters\n----------\n).*?\n(?=\w+\n---)", re.DOTALL | re.MULTILINE)


def document_parameters(cls: T) -> T:
    """Complete the "Parameters" section of the docstring of a net.

    Parameters that the docstring lists keep their prose, the others get it from this module. All
    are put into the order of the signature, with their defaults.

    Parameters
    ----------
    cls : type
        A dataclass. Its docstring is changed.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    TypeError
        If a parameter has no prose.
    """
    docstring = inspect.cleandoc(cls.__doc__ or "")
    section = SECTION.search(docstring)
    if section is None:  # python -OO drops docstrings
        return cls
    prose = _entries(SHARED) | _entries(section.group())
    parts = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if name not in prose:
            raise TypeError(
                f"{cls.__name__}: the parameter {name} has no prose; add it to the docstring."
            )
        kind, text = prose[name].split("\n", 1)
        default = repr(parameter.default).replace("'", '"')
        parts.append(f"{name} : {kind}, default={default}\n{text}")
    head, tail = docstring[: section.start()], docstring[section.end() :]
    cls.__doc__ = head + "\n".join(parts) + f"\n\n{tail}\n"
    return cls


def _entries(text: str) -> dict[str, str]:
    """Split a numpydoc section into the texts that follow ``name :``, by name."""
    parts = re.split(r"^(\w+) : ", text.strip(), flags=re.MULTILINE)
    return {name: rest.rstrip() for name, rest in zip(parts[1::2], parts[2::2], strict=True)}
