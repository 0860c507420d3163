"""Plot volumes, errors, atoms and scores with matplotlib."""

from sklearn_iqt.plotting._atoms import plot_atoms
from sklearn_iqt.plotting._comparison import plot_comparison
from sklearn_iqt.plotting._estimates import plot_estimates
from sklearn_iqt.plotting._improvement import plot_improvement
from sklearn_iqt.plotting._learning_curve import plot_learning_curve
from sklearn_iqt.plotting._scores import plot_scores
from sklearn_iqt.plotting._snr_plane import plot_snr
from sklearn_iqt.plotting._volume import plot_volume

__all__ = [
    "plot_atoms",
    "plot_comparison",
    "plot_estimates",
    "plot_improvement",
    "plot_learning_curve",
    "plot_scores",
    "plot_snr",
    "plot_volume",
]
