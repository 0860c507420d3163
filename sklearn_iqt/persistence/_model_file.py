"""Save and load fitted models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sklearn
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_iqt._fitted_params import changed_params, remember_params
from sklearn_iqt._version import __version__
from sklearn_iqt.base import steps_of
from sklearn_iqt.compose import AnyGridIQT
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence._card import ModelCard, TrainingCard, read_training
from sklearn_iqt.persistence._checks import check_model, check_state, is_storable_grid
from sklearn_iqt.persistence._container import read_container, write_container
from sklearn_iqt.persistence._decode import Decoder, plain_value
from sklearn_iqt.persistence._encode import Encoder
from sklearn_iqt.persistence._registry import ESTIMATORS, MODELS, SCALERS, class_name

SUFFIX = ".iqt"


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    training: TrainingCard | None = None,
    overwrite: bool = False,
    half_precision: bool = False,
) -> Path:
    """Write a fitted model to a file that contains parameters and arrays, but no code.

    Parameters
    ----------
    model : estimator
        A fitted estimator of this package, or a pipeline of scalers of volumes that ends with one.
        The regressor of a ``PatchwiseRegressor`` is one of scikit-learn that is listed in the
        user guide, such as a forest, or of a class that :func:`register_class` was called for.
    path : str or path-like
        File to write, ending in ``.iqt``.
    training : TrainingCard, default=None
        Description of the training to store in the file.
    overwrite : bool, default=False
        Whether to replace an existing file, which happens only once the new one is complete.
    half_precision : bool, default=False
        Whether to store the weights of nets as float16, which halves the file. Predictions of the
        loaded model then differ by about a thousandth from those before saving.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    TypeError
        If a part of the model cannot be stored without pickle, or if ``training`` is not a
        :class:`TrainingCard`.
    ValueError
        If the suffix is not ``.iqt``, a number of the model is not finite, or a parameter that
        decided the fitted state was changed after ``fit``.
    FileExistsError
        If the file exists and ``overwrite`` is False.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    OSError
        If the file cannot be written. An existing file is not changed.

    Warns
    -----
    UserWarning
        If ``random_state`` is a RandomState instance, which is stored as None.

    See Also
    --------
    load_model : Read a model from a file.

    Notes
    -----
    The file is a safetensors container. Its metadata is a JSON document with the class, the
    parameters and the fitted attributes, and the SHA-256 of the document and the arrays. Metadata
    requests, settings of ``set_output``, and the parameters ``callbacks``, ``checkpoint``,
    ``device``, ``memory``, ``n_jobs`` and ``verbose`` of the model and its parts are not stored. In
    a loaded model they have their defaults.

    An estimator whose fitted state is not only attributes, such as a net, defines three names.
    ``_fitted_arrays()`` returns named arrays. ``_restore_fitted_arrays(arrays)`` is called after
    parameters and attributes are set; it restores the state, and raises ValueError if the arrays
    are invalid. ``_restored_attributes`` lists the attributes that this call sets, which are not
    stored.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_iqt import PatchwiseRegressor, load_model, save_model
    >>> from sklearn_iqt.persistence import TrainingCard
    >>> high = np.random.default_rng(0).random((2, 8, 8, 16))
    >>> low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
    >>> model = PatchwiseRegressor(random_state=0).fit(low, high)
    >>> card = TrainingCard(scale=(1, 1, 4), cohort="random numbers")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_model(model, Path(folder) / "ridge.iqt", training=card)
    ...     loaded = load_model(path)
    >>> bool((loaded.predict(low) == model.predict(low)).all())
    True
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise ValueError(f"save_model: path must end in {SUFFIX!r}, got {str(target)!r}.")
    steps = steps_of(model)
    if class_name(model, MODELS) is None or class_name(steps[-1], ESTIMATORS) is None:
        raise TypeError(
            f"save_model: a {type(model).__module__}.{type(model).__name__} that predicts with a "
            f"{type(steps[-1]).__name__} cannot be stored without pickle. Only {sorted(MODELS)} "
            "can. Call register_class for a class of your own."
        )
    others = [type(step).__name__ for step in steps[:-1] if class_name(step) not in SCALERS]
    if others:
        raise TypeError(
            f"save_model: a pipeline with a {others[0]} cannot be stored. Only {sorted(SCALERS)} "
            "may precede the model."
        )
    if training is not None and not isinstance(training, TrainingCard):
        raise TypeError(
            f"save_model: training must be a TrainingCard or None, got {type(training).__name__}. "
            "Pass TrainingCard(...), with other facts in notes={...}."
        )
    for step in steps:
        check_is_fitted(step)
        _check_unchanged(step)
    try:
        check_state(steps[-1])
    except UntrustedModelError as error:
        raise ValueError(
            f"save_model: load_model would refuse the file, because {error}"
        ) from error
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"save_model: {str(target)!r} exists already. Pass overwrite=True to replace it, or "
            "choose another name."
        )
    for part in (model, model[-1] if isinstance(model, Pipeline) else model):
        if isinstance(part, AnyGridIQT) and not is_storable_grid(part.grid):
            raise TypeError(
                "save_model: the grid of AnyGridIQT is a volume, which is not stored. Set grid to "
                "'model', 'scan' or a voxel size before saving."
            )
    encoder = Encoder("save_model", half_precision=half_precision)
    document = {
        "version": __version__,
        "sklearn": sklearn.__version__,
        "model": encoder.model(model),
        "training": None if training is None else training.as_dict(),
    }
    write_container(target, document, encoder.arrays)
    return target


def load_model(path: str | os.PathLike[str]) -> Any:
    """Read a model from an untrusted file.

    Parameters
    ----------
    path : str or path-like
        File written by :func:`save_model`.

    Returns
    -------
    estimator
        The fitted model. Its predictions are identical to the last bit to those before saving,
        unless it was saved in half precision.

    Raises
    ------
    UntrustedModelError
        If the content of the file is invalid. Content is never executed.
    OSError
        If the file does not exist or cannot be read.
    ImportError
        If the model is a net and torch is not installed.

    See Also
    --------
    read_model_card : Read the description of a model from a file.

    Notes
    -----
    The loader only builds classes of a fixed list and classes that your program has passed to
    :func:`register_class`, from validated parameters and from finite arrays with consistent shapes.
    It checks all sizes against the size of the file first, then the checksum of the content, which
    shows damage, and the nodes of trees, which scikit-learn follows without checks. A file that is
    safe to load may still contain a bad model, whose predictions are wrong.

    Examples
    --------
    >>> from sklearn_iqt import load_model
    >>> model = load_model("srep.iqt")  # doctest: +SKIP
    """
    with _name_file_in_errors(path, "load_model"):
        document, _, arrays = read_container(path)
        _check_document(document)
        with _explain_versions(document["sklearn"]):
            model = Decoder(arrays).model(document["model"])
            check_model(model)
            for step in steps_of(model):
                remember_params(step)
    return model


def read_model_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the description of a model from a file, without building the model.

    Parameters
    ----------
    path : str or path-like
        File written by :func:`save_model`.

    Returns
    -------
    ModelCard
        Class, parameters and arrays of the model, its training card, and the version that wrote
        the file.

    Raises
    ------
    UntrustedModelError
        If the file is not a model file or is damaged. The model is not built, so that not every
        file that this function accepts is accepted by :func:`load_model`.
    OSError
        If the file does not exist or cannot be read.

    Examples
    --------
    >>> from sklearn_iqt.persistence import read_model_card
    >>> read_model_card("srep.iqt").training.scale  # doctest: +SKIP
    (1, 1, 4)
    """
    with _name_file_in_errors(path, "read_model_card"):
        document, table, _ = read_container(path)
        training = _check_document(document)
        node = document["model"]
        if not (
            isinstance(node, dict)
            and isinstance(node.get("class"), str)
            and isinstance(node.get("params"), dict)
        ):
            raise UntrustedModelError("its model is not an estimator.")
        return ModelCard(
            class_name=node["class"],
            params={key: plain_value(value) for key, value in node["params"].items()},
            version=document["version"],
            training=training,
            format=document["format"],
            arrays={k: (entry["dtype"], entry["shape"]) for k, entry in table.items()},
        )


def _check_unchanged(step: Any) -> None:
    changed = changed_params(step)
    if changed:
        raise ValueError(
            f"save_model: {type(step).__name__} was fitted with other values of "
            f"{', '.join(changed)} than it has now. Call fit again, or set them back."
        )


def _check_document(document: dict) -> TrainingCard | None:
    """Return the training card of a document, after checking its other entries."""
    if set(document) != {"format", "version", "sklearn", "model", "training"}:
        raise UntrustedModelError(f"its document has unexpected keys, {sorted(document)[:6]}.")
    if not all(isinstance(document[name], str) for name in ("version", "sklearn")):
        raise UntrustedModelError("its version is not text.")
    return read_training(document["training"])


@contextmanager
def _explain_versions(written: str) -> Iterator[None]:
    """Name both versions in errors if the file comes from another version of scikit-learn."""
    try:
        yield
    except (ImportError, MemoryError, RecursionError):
        raise
    except Exception as error:
        reason = _reason(error)
        if written != sklearn.__version__:
            reason += (
                f" It was written with scikit-learn {written[:20]}, and this is "
                f"{sklearn.__version__}."
            )
        raise UntrustedModelError(reason) from error


@contextmanager
def _name_file_in_errors(path: str | os.PathLike[str], caller: str) -> Iterator[None]:
    """Turn every error about the content into one type that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{caller}: there is no file {os.fspath(path)!r}. save_model and sklearn-iqt fit write "
            "model files."
        ) from error
    except (ImportError, OSError):
        raise
    except Exception as error:
        raise UntrustedModelError(
            f"{caller}: {os.fspath(path)!r} is refused: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UntrustedModelError):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply."
    if isinstance(error, MemoryError):
        return "it needs more memory than there is."
    return f"it is inconsistent ({type(error).__name__}: {' '.join(str(error).split())})."
