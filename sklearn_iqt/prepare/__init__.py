"""From files of the same people in two scanners to pairs that ``fit`` takes."""

from sklearn_iqt.prepare._brain import brain_mask
from sklearn_iqt.prepare._cohort import PreparedCohort, prepare_pairs
from sklearn_iqt.prepare._pair import PreparedPair, prepare_pair

__all__ = ["PreparedCohort", "PreparedPair", "brain_mask", "prepare_pair", "prepare_pairs"]
