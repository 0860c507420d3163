"""The metrics as scikit-learn scorers, for collections of volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sklearn.metrics import make_scorer

from sklearn_iqt.metrics._volume import nrmse, psnr, ssim

# The metric of each scorer. As in scikit-learn, "neg_" marks an error, where lower is better.
METRICS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"neg_nrmse": nrmse, "psnr": psnr, "ssim": ssim}
)


def volume_scorers(
    *, mask: bool | str = False, normalization: str = "max", match: str = "none"
) -> dict[str, Any]:
    """Return a scorer for each metric, for ``scoring=`` of scikit-learn's model selection.

    Parameters
    ----------
    mask : bool or str, default=False
        Whether the scorers request ``mask`` by metadata routing, which holds one mask for each
        volume on the grid of its truth. A string requests the masks under that name. Estimators
        take a ``mask`` on the grid of their input, so that the two need different names if the
        grids differ. Metadata routing needs ``sklearn.set_config(enable_metadata_routing=True)``.
    normalization : {"max", "mean", "range", "p99"}, default="max"
        Normaliser of the NRMSE, see :func:`nrmse`.
    match : {"none", "gain", "affine"}, default="none"
        How predictions are matched to the unit of their truths, see :func:`nrmse`.

    Returns
    -------
    dict of str to scorer
        New scorers under "neg_nrmse", "psnr" and "ssim". For all of them, higher is better.

    Examples
    --------
    >>> from sklearn_iqt.metrics import volume_scorers
    >>> sorted(volume_scorers())
    ['neg_nrmse', 'psnr', 'ssim']
    """
    options = {"neg_nrmse": {"normalization": normalization}}
    scorers = {
        name: make_scorer(
            metric,
            greater_is_better=not name.startswith("neg_"),
            match=match,
            **options.get(name, {}),
        )
        for name, metric in METRICS.items()
    }
    if mask:
        for scorer in scorers.values():
            scorer.set_score_request(mask=mask)
    return scorers


neg_nrmse_scorer, psnr_scorer, ssim_scorer = volume_scorers().values()
