"""Pictures of volumes and of their errors."""

from sklearn_iqt.plotting._comparison import plot_comparison

__all__ = ["plot_comparison"]
