"""Fields of a training card are checked and converted."""

import datetime

import numpy as np
import pytest

from sklearn_iqt.persistence import TrainingCard


def test_the_dict_of_an_empty_card_is_empty():
    assert TrainingCard().as_dict() == {}


def test_sequences_become_tuples_and_numbers_python_numbers():
    card = TrainingCard(
        scale=np.array([1, 1, 4]),
        orientation="LPI",
        snr_wm=[np.float32(2.5), 3],
        thickness=3,
        noise="gaussian",
        tissues=["given", "estimated"],
        n_pairs=np.int64(7),
        standardized=np.bool_(True),
        date=datetime.date(2026, 11, 28),
    )
    assert card == TrainingCard(
        scale=(1, 1, 4),
        orientation="LPI",
        snr_wm=(2.5, 3),
        thickness=(3,),
        noise=("gaussian",),
        tissues=("given", "estimated"),
        n_pairs=7,
        standardized=True,
        date="2026-11-28",
    )
    assert card.as_dict()["scale"] == [1, 1, 4]
    assert TrainingCard(**card.as_dict()) == card


def test_a_card_copies_its_fields_and_is_immutable():
    notes, scores = {"people": ["a"]}, {"SSIM": 0.9}
    card = TrainingCard(notes=notes, scores=scores)
    notes["people"].append("b")
    scores["SSIM"] = 1.0
    assert card.notes == {"people": ["a"]}
    assert card.scores == {"SSIM": 0.9}
    with pytest.raises(AttributeError):
        card.seed = 1


@pytest.mark.parametrize(
    ("field", "values"),
    {
        "method": [1, b"srep"],
        "standardized": [1, "yes"],
        "n_pairs": [0, 2.0, True, "2"],
        "scale": [4, (1, 1), (1, 1, 0), (1, 1, 2.5), "114", (True, 1, 1)],
        "alignment": ["left", 3, []],
        "orientation": ["RA", "RAL", "up", 3],
        "spacing_low_mm": [(1, 1), (0, 1, 1), (1, 1, None), (1, 1, float("nan")), {}],
        "snr_presets": [None, [1], [["t1w_036t"]]],
        "snr_wm": [(10**400, 1), (1, 2, 3), "ab", (2, 1), (float("nan"), 1), (1, float("inf"))],
        "contrast": [1.2, (1.3, 1.2)],
        "surface": [(0.5,), "ab"],
        "thickness": ["thick", [None], [True]],
        "scores": [[1], {1: 2}, {"SSIM": "high"}, {"PSNR": float("inf")}],
        "seed": [1.5, "0", False],
        "date": ["yesterday", 20261128, "2026-13-01"],
        "notes": [[1], "free"],
    }.items(),
)
def test_invalid_fields_are_refused(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"TrainingCard: {field} must be .*, got "):
            TrainingCard(**{field: value})


@pytest.mark.parametrize("notes", [{"a": object()}, {1: 2}, {"x": float("nan")}])
def test_notes_must_be_json(notes):
    with pytest.raises(TypeError, match="TrainingCard: notes"):
        TrainingCard(notes=notes)
