"""The order of the examples in the gallery."""

from __future__ import annotations

from sphinx_gallery.sorting import FileNameSortKey

ORDER = (
    "plot_quick_start.py",
    "plot_own_nifti.py",
    "plot_real_pairs.py",
    "plot_any_regressor.py",
    "plot_cross_validation.py",
    "plot_grid_search.py",
    "plot_pipeline.py",
    "plot_atoms.py",
    "plot_drawings.py",
    "plot_alpha.py",
    "plot_train_net.py",
    "plot_simulator.py",
    "plot_scans_drawn_again.py",
    "plot_out_of_distribution.py",
    "plot_uncertainty.py",
    "plot_save_load.py",
)


class GalleryOrder(FileNameSortKey):
    """Sort examples by their position in ``ORDER``; other examples come last."""

    def __call__(self, filename):
        """Return the sort key of an example."""
        place = ORDER.index(filename) if filename in ORDER else len(ORDER)
        return place, filename
