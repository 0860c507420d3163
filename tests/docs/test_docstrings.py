"""The check of documented defaults finds wrong defaults."""

import math

import pytest

pytest.importorskip("numpydoc")
from check_docstrings import wrong_defaults


def documented(alpha=0.5, name="x", limit=math.inf, n_jobs=None, mean=sum, order=3, size=2**29):
    """
    Do nothing.

    Parameters
    ----------
    alpha : float, default=0.5
        Stated.
    name : {"x", "y"}, default="x"
        Stated.
    limit : float, default=inf
        Stated.
    n_jobs : int, default=None
        Stated.
    mean : callable, default=sum
        Stated.
    order : int, default=3
        Stated.
    size : int, default=2**29
        Stated.
    """


def test_correct_defaults_pass():
    assert list(wrong_defaults(documented)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("default=0.5", "default=0.4"),
        ("default=3", "default=3.0"),
        ("default=2**29", "default=2**28"),
        ('default="x"', "default=x"),
        (", default=sum", ""),
        ("default=None", "default=False"),
    ],
)
def test_wrong_defaults_are_found(right, wrong, monkeypatch):
    monkeypatch.setattr(documented, "__doc__", documented.__doc__.replace(right, wrong))
    assert len(list(wrong_defaults(documented))) == 1
