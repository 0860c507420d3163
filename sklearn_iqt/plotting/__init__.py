"""Pictures of volumes and of their errors."""

from sklearn_iqt.plotting._comparison import plot_comparison
from sklearn_iqt.plotting._estimates import plot_estimates

__all__ = ["plot_comparison", "plot_estimates"]
