"""Models that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn_iqt.persistence._card import TrainingCard
from sklearn_iqt.persistence._model_file import SUFFIX, load_model, read_model_card

# Each model is a file NAME.iqt in this folder.
FOLDER = Path(__file__).with_name("pretrained")


def list_pretrained() -> dict[str, TrainingCard]:
    """List the models that come with the package.

    Returns
    -------
    dict of str to TrainingCard
        The training card of each model, by name. It says which scans the model is for, what it was
        trained on, and how well it did on other people.

    See Also
    --------
    load_pretrained : Load one of them.

    Examples
    --------
    >>> from sklearn_iqt.persistence import list_pretrained
    >>> for name, card in list_pretrained().items():
    ...     print(name, card.intended_use)  # doctest: +SKIP
    """
    cards = {}
    for path in sorted(FOLDER.glob(f"*{SUFFIX}")):
        card = read_model_card(path).training
        cards[path.stem] = TrainingCard() if card is None else card
    return cards


def load_pretrained(name: str) -> Any:
    """Load a model that comes with the package.

    The models are for research, and not for diagnosis.

    Parameters
    ----------
    name : str
        Name of the model, see :func:`list_pretrained`.

    Returns
    -------
    AnyGridIQT
        The fitted model, which enhances scans of any voxel size and direction of slices.
        ``partial_fit`` trains it further on your own pairs.

    Raises
    ------
    ValueError
        If there is no model of this name.
    ImportError
        If the model is a net and torch is not installed.

    See Also
    --------
    list_pretrained : What the models were trained on.
    load_model : Load a model of your own.

    Examples
    --------
    >>> from sklearn_iqt import load_pretrained
    >>> model = load_pretrained("t1w_brain")  # doctest: +SKIP
    >>> (enhanced,) = model.predict(["scan.nii.gz"])  # doctest: +SKIP
    """
    path = FOLDER / f"{name}{SUFFIX}"
    known = sorted(file.stem for file in FOLDER.glob(f"*{SUFFIX}"))
    if name not in known:
        names = ", ".join(known) or "none; this version of the package comes without models"
        raise ValueError(f"load_pretrained: there is no model {name!r}. Models: {names}.")
    return load_model(path)
