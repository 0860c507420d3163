"""Which modules pytest reads for doctests: without torch, all but the nets."""

from pathlib import Path

from sklearn_iqt.exceptions import MissingExtraError

NETS = Path(__file__).parent / "sklearn_iqt" / "deep"


def pytest_ignore_collect(collection_path):
    if collection_path == NETS:
        try:
            import sklearn_iqt.deep  # noqa: F401
        except MissingExtraError:
            return True
    return None
