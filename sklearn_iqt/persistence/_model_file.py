"""Save and load fitted models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_iqt._version import __version__
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence._card import ModelCard, TrainingCard, read_training
from sklearn_iqt.persistence._checks import check_model
from sklearn_iqt.persistence._container import read_container, read_header, write_container
from sklearn_iqt.persistence._decode import Decoder, plain_value
from sklearn_iqt.persistence._encode import Encoder
from sklearn_iqt.persistence._registry import ESTIMATORS, MODELS, class_name

SUFFIX = ".iqt"
# Raised by one whenever an older version could not read a new file, or this one an old file.
FORMAT = 2


def save_model(
    model: Any, path: str | os.PathLike[str], *, training: TrainingCard | None = None
) -> Path:
    """Write a fitted model to one file that holds parameters and arrays, and no code.

    Parameters
    ----------
    model : estimator
        A fitted estimator of this package. Its regressor, if it has one, must be a ``Ridge`` or
        ``LinearRegression``. Or a pipeline that ends in one, behind scalers of volumes.
    path : str or path-like
        File to write, ending in ``.iqt``. An existing file is replaced only once the new one is
        complete.
    training : TrainingCard, default=None
        What the model should remember of its training.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    TypeError
        If a part of the model, such as a forest, cannot be stored without pickle; use ``skops``
        for such a model. If ``training`` is not a :class:`TrainingCard`.
    ValueError
        If the suffix is wrong or a weight is not finite.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    OSError
        If the file cannot be written. The old file, if any, is left as it was.

    Warns
    -----
    UserWarning
        If ``random_state`` is a RandomState instance, which is stored as None.

    See Also
    --------
    load_model : Read a model from such a file.

    Notes
    -----
    The file is a safetensors container; its metadata hold one JSON document with the class, its
    parameters and fitted attributes. Requests for metadata routing and ``set_output`` are settings
    of a session and are not stored, nor are the folders that ``memory`` and ``checkpoint`` name. An
    estimator whose state is more than attributes (a net) says so by three names:
    ``_fitted_arrays()`` returns named arrays, ``_restore_fitted_arrays(arrays)`` takes them back
    once parameters and attributes are set and raises ValueError if they do not fit, and
    ``_restored_attributes`` lists the attributes which that call makes, and which are therefore
    not stored.

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
        raise ValueError(f"save_model: {str(target)!r} must end in {SUFFIX!r}.")
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    if class_name(model, MODELS) is None or class_name(steps[-1], ESTIMATORS) is None:
        raise TypeError(
            f"save_model: a {type(model).__module__}.{type(model).__name__} that predicts by a "
            f"{type(steps[-1]).__name__} cannot be stored without pickle; only {sorted(MODELS)} "
            "can. Use skops.io.dump for other models."
        )
    if training is not None and not isinstance(training, TrainingCard):
        raise TypeError(
            f"save_model: training must be a TrainingCard or None, got {type(training).__name__}. "
            "Pass TrainingCard(...); other facts go into notes={...}."
        )
    for step in steps:
        if step != "passthrough":
            check_is_fitted(step)
    encoder = Encoder("save_model")
    document = {
        "format": FORMAT,
        "version": __version__,
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
        The fitted model. It predicts the same bits as the one that was saved.

    Raises
    ------
    UntrustedModelError
        If anything is wrong with the content of the file; nothing in it is ever executed.
    OSError
        If there is no such file or it cannot be read.
    ImportError
        If the model is a net and torch is not installed.

    See Also
    --------
    read_model_card : Read what a file says about its model.

    Notes
    -----
    Only the classes of a fixed list are built, from validated parameters and finite arrays whose
    shapes agree, and only after sizes were checked against the bytes on disk. A model still
    decides what its predictions are: that a file is safe to load does not make it a good model.

    Examples
    --------
    >>> from sklearn_iqt import load_model
    >>> model = load_model("srep.iqt")  # doctest: +SKIP
    """
    with _names_file(path, "load_model"):
        document, arrays = read_container(path)
        _check_document(document)
        model = Decoder(arrays).model(document["model"])
        check_model(model)
    return model


def read_model_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read what a file says about its model, without building it.

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
        If the file is not a model file. That this function accepts a file does not mean that
        :func:`load_model` will.
    OSError
        If there is no such file or it cannot be read.

    Examples
    --------
    >>> from sklearn_iqt.persistence import read_model_card
    >>> read_model_card("srep.iqt").training.scale  # doctest: +SKIP
    (1, 1, 4)
    """
    with _names_file(path, "read_model_card"):
        with open(path, "rb") as stream:
            document, table = read_header(stream)
        training = _check_document(document)
        node = document["model"]
        if not (isinstance(node, dict) and isinstance(node.get("params"), dict)):
            raise UntrustedModelError("its model is not an estimator.")
        return ModelCard(
            class_name=str(node.get("class")),
            params={key: plain_value(value) for key, value in node["params"].items()},
            version=document["version"],
            training=training,
            format=document["format"],
            arrays={k: (entry["dtype"], entry.get("shape")) for k, entry in table.items()},
        )


def _check_document(document: dict) -> TrainingCard | None:
    """Refuse a document that is not of this format, and return its training card."""
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise UntrustedModelError(f"its format {str(version)[:40]!r} is not a version number.")
    if version < FORMAT:
        raise UntrustedModelError(
            f"its format {version} is of an older version of sklearn_iqt, which stored other "
            f"parameters; this version reads format {FORMAT}. Fit the model again."
        )
    if version > FORMAT:
        raise UntrustedModelError(
            f"its format {version} is newer than {FORMAT}, which this version of sklearn_iqt "
            "reads; upgrade sklearn_iqt."
        )
    if set(document) != {"format", "version", "model", "training"}:
        raise UntrustedModelError(f"its document has the keys {sorted(document)[:6]}.")
    if not isinstance(document["version"], str):
        raise UntrustedModelError("its version is not text.")
    return read_training(document["training"])


@contextmanager
def _names_file(path: str | os.PathLike[str], caller: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{caller}: there is no file {os.fspath(path)!r}; save_model and "
            "sklearn-iqt fit write model files."
        ) from error
    except UntrustedModelError as error:
        raise UntrustedModelError(f"{caller}: {os.fspath(path)!r} is refused: {error}") from error
    except RecursionError as error:
        raise UntrustedModelError(f"{caller}: {os.fspath(path)!r} nests too deeply.") from error
