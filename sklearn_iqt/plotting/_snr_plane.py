"""Signal-to-noise ratios of grey and white matter, as points in a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_iqt.plotting._style import COLORS, GREY, axes_or_new, plain
from sklearn_iqt.simulation import GaussianSNR, SNRDistribution, get_snr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_snr"]

_CALLER = "plot_snr"
_MARKERS = "osD^vPX"


def plot_snr(
    distributions: Any = ("ind1", "ind2", "ulf_measured"),
    *,
    rings: Sequence[float] = (1, 3),
    reference: str | GaussianSNR = "t1w_036t",
    n_samples: int = 100,
    random_state: Any = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw pairs of signal-to-noise ratios, and rings of equal distance from a Gaussian.

    Parameters
    ----------
    distributions : str, sequence of str, or dict, default=("ind1", "ind2", "ulf_measured")
        Distributions to sample. The keys of a dict are labels. Its values are names of
        :data:`sklearn_iqt.simulation.SNR_PRESETS`, distributions, or arrays of shape (n, 2) with
        the SNR of white and of grey matter, such as the ``snr`` of simulated pairs. A sequence
        contains names. ``"ulf_measured"`` comes from one scan, see
        :func:`sklearn_iqt.simulation.get_snr`.
    rings : sequence of float, default=(1, 3)
        Mahalanobis distances of the rings from the reference, above 0.
    reference : str or GaussianSNR, default="t1w_036t"
        Gaussian that the rings are drawn around. ``"t1w_036t"`` describes the 0.36 T scanner
        that training scans are simulated for.
    n_samples : int, default=100
        Number of pairs to draw from each distribution.
    random_state : int, RandomState instance or None, default=0
        Seed of the samples. By default, every call draws the same figure.
    ax : Axes, default=None
        Axes to draw on. By default, a new figure is made.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn on: SNR of grey matter to the right and of white matter upwards,
        in the same scale. On the dashed line both are equal, so there is no contrast between
        them.

    Raises
    ------
    ValueError
        If a name is unknown, a ring is not above 0, or pairs are not finite of shape (n, 2).
    TypeError
        If the reference is not a Gaussian, or a distribution cannot be sampled.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    sklearn_iqt.simulation.get_snr : Return the distribution of a name.

    Notes
    -----
    The defaults show the test sets of Figure 3 of the paper [1]_. InD1 is inside of ring 1. InD2 is
    outside of ring 3, on the side where white matter is brighter.

    References
    ----------
    .. [1] A. Eldaly et al., "Alternative learning paradigms for image quality transfer",
       MELBA 2024:027.

    Examples
    --------
    >>> from sklearn_iqt.plotting import plot_snr
    >>> ax = plot_snr({"training": "t1w_036t", "my scanner": [[30, 24], [32, 25]]})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('SNR of grey matter', 'SNR of white matter')
    """
    gaussian = get_snr(reference)
    if not isinstance(gaussian, GaussianSNR):
        raise TypeError(
            f"{_CALLER}: reference must be a GaussianSNR or the name of one, got {reference!r}."
        )
    distances = np.asarray(rings, dtype=float)
    if distances.ndim != 1 or not (distances > 0).all() or not np.isfinite(distances).all():
        raise ValueError(
            f"{_CALLER}: rings must be a sequence of distances above 0, got {rings!r}."
        )
    if isinstance(distributions, str):
        distributions = [distributions]
    if not isinstance(distributions, Mapping):
        distributions = {name: name for name in distributions}
    rng = check_random_state(random_state)
    samples = {
        label: _pairs(label, distribution, n_samples, rng)
        for label, distribution in distributions.items()
    }
    ax = axes_or_new(ax, (4.5, 4.2), _CALLER)
    for n, (label, pairs) in enumerate(samples.items()):
        ax.scatter(
            pairs[:, 1],
            pairs[:, 0],
            s=14,
            marker=_MARKERS[n % len(_MARKERS)],
            color=COLORS[n % len(COLORS)],
            alpha=0.7,
            linewidths=0,
            label=label,
        )
    edges = _draw_rings(ax, gaussian, distances)
    # The axes run from zero, where there is no signal, to a little above the largest SNR.
    end = 1.08 * float(np.concatenate([*edges, *samples.values()]).max())
    _draw_diagonal(ax, end)
    ax.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    plain(ax, xlabel="SNR of grey matter", ylabel="SNR of white matter")
    if samples:
        ax.legend(frameon=False, loc="upper left", fontsize="small", handletextpad=0.1)
    return ax


def _draw_rings(ax: Any, gaussian: GaussianSNR, distances: Any) -> list[NDArray[np.float64]]:
    """Draw rings of equal Mahalanobis distance, and return their points and the centre."""
    from matplotlib.patheffects import withStroke

    circle = np.linspace(0, 2 * np.pi, 200)
    factor = np.linalg.cholesky(np.array(gaussian.covariance))
    edges = [np.array([gaussian.mean])]
    for distance in distances:
        wm, gm = np.array(gaussian.mean)[:, None] + distance * factor @ [
            np.cos(circle),
            np.sin(circle),
        ]
        edges.append(np.stack([wm, gm], axis=1))
        ax.plot(gm, wm, color="black", linewidth=0.8)
        top = np.argmax(wm)
        name = ax.annotate(
            f"{distance:g}", (gm[top], wm[top]), (0, 2), textcoords="offset points", ha="center"
        )
        name.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    return edges


def _draw_diagonal(ax: Any, end: float) -> None:
    """Draw the line where white and grey matter are equally bright."""
    ax.plot([0, end], [0, end], color=GREY, linewidth=0.8, linestyle="--")
    ax.annotate(
        "WM = GM",
        (0.12 * end, 0.12 * end),
        (3, -3),
        textcoords="offset points",
        rotation=45,
        color=GREY,
        fontsize="small",
        va="top",
        rotation_mode="anchor",
    )


def _pairs(label: str, distribution: Any, n: int, rng: Any) -> NDArray[np.float64]:
    """Sample a distribution, or check the pairs that the user passed."""
    if isinstance(distribution, (str, SNRDistribution)):
        return get_snr(distribution).sample(n, rng)
    pairs = np.asarray(distribution, dtype=float)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
        raise ValueError(
            f"{_CALLER}: {label} must be a name, a distribution or finite pairs (SNR_WM, SNR_GM) "
            f"of shape (n, 2), got shape {pairs.shape}."
        )
    return pairs
