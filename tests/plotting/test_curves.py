"""Plots of atoms, learning curves, SNRs and scores."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from sklearn_iqt import CoupledDictionaryIQT, InterpolationIQT, PatchTransformer
from sklearn_iqt.exceptions import PatchGeometryWarning
from sklearn_iqt.plotting import plot_atoms, plot_learning_curve, plot_scores, plot_snr
from sklearn_iqt.simulation import GaussianSNR, mahalanobis_distance


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture(scope="module")
def coupled():
    high = np.random.default_rng(0).random((2, 12, 12, 16))
    low = high.reshape(2, 12, 12, 4, 4).mean(axis=-1)
    patcher = PatchTransformer(patch_size=(3, 4, 5), stride=2)
    return CoupledDictionaryIQT(10, patcher=patcher, features="both", random_state=0).fit(low, high)


class Net(BaseEstimator):
    """A fitted net, as far as plots use it."""

    def __init__(self, dictionary=None, history=None):
        self.dictionary = dictionary
        self.history = history

    def fit(self):
        if self.dictionary is not None:
            self.dictionary_ = self.dictionary
        self.net_ = type("Trained", (), {"history": self.history})()
        return self


def tiles(ax, shape, gap=1):
    """Return the pictures of a mosaic."""
    picture = np.ma.filled(ax.images[0].get_array(), np.nan)
    rows, columns = ((n + gap) // (s + gap) for n, s in zip(picture.shape, shape, strict=True))
    found = [
        picture[r * (shape[0] + gap) :, c * (shape[1] + gap) :][: shape[0], : shape[1]]
        for r in range(rows)
        for c in range(columns)
    ]
    return [tile for tile in found if np.isfinite(tile).any()]


def test_high_atoms_are_centre_slices_ordered_by_norm(coupled, ax):
    assert plot_atoms(coupled, max_atoms=6, ax=ax) is ax
    assert ax.get_title() == "6 of 10 high atoms"
    atoms = coupled.dictionary_high_.reshape(10, 3, 4, 5)
    order = np.argsort(-np.linalg.norm(coupled.dictionary_high_, axis=1))[:6]
    shown = tiles(ax, (5, 4))
    assert len(shown) == 6
    for tile, number in zip(shown, order, strict=True):
        expected = atoms[number, 1] / np.abs(atoms[number, 1]).max()
        # The last axis runs upwards, the rows of a picture downwards.
        np.testing.assert_allclose(tile, expected.T[::-1])


@pytest.mark.parametrize(("axis", "shape"), [(1, (5, 3)), (2, (4, 3))])
def test_atoms_can_be_cut_across_each_axis(coupled, axis, shape, ax):
    plot_atoms(coupled, axis=axis, ax=ax)
    shown = tiles(ax, shape)
    assert len(shown) == 10
    largest = np.argmax(np.linalg.norm(coupled.dictionary_high_, axis=1))
    cut = np.take(coupled.dictionary_high_[largest].reshape(3, 4, 5), 2, axis=axis)
    np.testing.assert_allclose(shown[0], (cut / np.abs(cut).max()).T[::-1])


def test_pictures_of_low_atoms_have_the_features_of_the_atoms(coupled, ax):
    plot_atoms(coupled, part="low", ax=ax)
    patches = coupled.dictionary_low_ @ np.linalg.pinv(coupled.projection_).T
    np.testing.assert_allclose(patches @ coupled.projection_.T, coupled.dictionary_low_, atol=1e-6)
    order = np.argsort(-np.linalg.norm(coupled.dictionary_high_, axis=1))
    for tile, number in zip(tiles(ax, (5, 4)), order, strict=True):
        cut = patches[number].reshape(3, 4, 5)[1]
        np.testing.assert_allclose(tile, (cut / np.abs(cut).max()).T[::-1], atol=1e-6)


def test_low_atoms_are_left_of_their_high_atoms(coupled):
    drawn = {}
    for part in ("low", "high", "both"):
        drawn[part] = plot_atoms(coupled, part=part, ax=Figure().add_subplot())
    pairs = tiles(drawn["both"], (5, 9), gap=3)
    assert len(pairs) == 10
    low, high = (tiles(drawn[part], (5, 4)) for part in ("low", "high"))
    for pair, left, right in zip(pairs, low, high, strict=True):
        np.testing.assert_array_equal(pair[:, :4], left)
        np.testing.assert_array_equal(pair[:, 5:], right)
    assert drawn["both"].get_title() == "10 of 10 low and high atoms"


def test_atoms_along_one_axis_are_columns(rng, ax):
    atoms = rng.normal(size=(7, 1, 1, 4))
    plot_atoms(Net(atoms).fit(), max_atoms=5, ax=ax)
    order = np.argsort(-np.linalg.norm(atoms.reshape(7, 4), axis=1))[:5]
    np.testing.assert_array_equal(ax.images[0].get_array(), atoms[order, 0, 0].T)
    low, high = ax.images[0].get_clim()
    assert low == -high == -np.abs(atoms[order]).max()


def test_atoms_of_several_axes_are_patches(rng, ax):
    plot_atoms(Net(rng.normal(size=(7, 2, 3, 4))).fit(), ax=ax)
    assert len(tiles(ax, (4, 3))) == 7


def test_models_without_atoms_and_invalid_parameters_are_refused(coupled, rng):
    with pytest.raises(NotFittedError):
        plot_atoms(CoupledDictionaryIQT())
    fitted = InterpolationIQT().fit(rng.random((1, 4, 4, 2)), rng.random((1, 4, 4, 8)))
    with pytest.raises(TypeError, match="InterpolationIQT has no atoms"):
        plot_atoms(fitted)
    with pytest.raises(ValueError, match="only high atoms"):
        plot_atoms(Net(rng.normal(size=(7, 1, 1, 4))).fit(), part="low")
    with pytest.raises(ValueError, match="max_atoms must be"):
        plot_atoms(coupled, max_atoms=0)
    with pytest.raises(ValueError, match="part"):
        plot_atoms(coupled, part="middle")
    with pytest.raises(ValueError, match="axis"):
        plot_atoms(coupled, axis=3)
    with pytest.warns(PatchGeometryWarning):
        rows = CoupledDictionaryIQT(4, random_state=0).fit(
            rng.random((50, 10)), rng.random((50, 20))
        )
    with pytest.raises(ValueError, match="cannot be reshaped"):
        plot_atoms(rows)


def test_learning_curves_are_drawn_against_epochs(ax):
    history = [
        {"epoch": 1, "train_loss": 3.0, "valid_loss": 4.0, "valid_nrmse": 0.2},
        {"epoch": 2, "train_loss": 2.0, "valid_loss": 3.0, "valid_nrmse": 0.1},
    ]
    assert plot_learning_curve(Net(history=history).fit(), ax=ax) is ax
    training, validation = ax.lines
    assert ax.get_xlabel() == "epoch"
    np.testing.assert_array_equal(training.get_xydata(), [(1, 3), (2, 2)])
    np.testing.assert_array_equal(validation.get_xydata(), [(1, 4), (2, 3)])
    (nrmse,) = ax.figure.axes[1].lines
    np.testing.assert_array_equal(nrmse.get_xydata(), [(1, 0.2), (2, 0.1)])
    single = plot_learning_curve([{"train_loss": 1.0}], ax=Figure().add_subplot())
    assert len(single.lines) == len(single.figure.axes) == 1
    assert single.lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_learning_curve([])
    with pytest.raises(ValueError, match="train_loss"):
        plot_learning_curve([{"loss": 1.0}])
    with pytest.raises(ValueError, match="against must be"):
        plot_learning_curve(history, against="time")
    with pytest.raises(ValueError, match="train_batch_count"):
        plot_learning_curve(history, against="step")
    with pytest.raises(TypeError, match="history must be"):
        plot_learning_curve(3)
    with pytest.raises(NotFittedError):
        plot_learning_curve(Net())


def test_learning_curve_of_a_real_net(ax, rng):
    pytest.importorskip("skorch")
    from sklearn_iqt import AnisoUNetRegressor

    high = rng.random((2, 8, 8, 16)).astype(np.float32)
    low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
    patches = {"patch_size": (8, 8, 2), "stride": (4, 4, 1), "max_patches": 8}
    net = AnisoUNetRegressor(
        2, 3, **patches, max_epochs=2, validation_fraction=0.5, random_state=0
    ).fit(low, high)
    plot_learning_curve(net, ax=ax)
    steps = plot_learning_curve(net, against="step", ax=Figure().add_subplot()).lines[0]
    per_epoch = net.net_.history[0]["train_batch_count"]
    np.testing.assert_array_equal(steps.get_xdata(), [per_epoch, 2 * per_epoch])
    losses = [epoch["train_loss"] for epoch in net.net_.history]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), losses)
    nrmse = [epoch["valid_nrmse"] for epoch in net.net_.history]
    np.testing.assert_array_equal(ax.figure.axes[1].lines[0].get_ydata(), nrmse)


def test_rings_have_the_requested_distance(ax):
    assert plot_snr(rings=(1, 2.5), ax=ax) is ax
    for line, distance in zip(ax.lines, (1, 2.5), strict=False):
        gm, wm = line.get_data()
        np.testing.assert_allclose(mahalanobis_distance(np.stack([wm, gm], axis=1)), distance)
    x, y = ax.lines[-1].get_data()
    np.testing.assert_array_equal(x, y)
    assert ax.get_aspect() in ("equal", 1.0)
    assert {"1", "2.5", "WM = GM"} <= {text.get_text() for text in ax.texts}


def test_samples_are_drawn_with_grey_matter_to_the_right(ax):
    pairs = np.array([[30.0, 20.0], [40.0, 31.0]])
    own = GaussianSNR((50, 40), ((9, 0), (0, 9)), max_distance=1)
    plot_snr({"mine": pairs, "own": own, "far": "ind2"}, n_samples=9, ax=ax)
    mine, near, far = (np.asarray(c.get_offsets())[:, ::-1] for c in ax.collections)
    np.testing.assert_array_equal(mine, pairs)
    assert (own.mahalanobis(near) <= 1).all()
    assert len(far) == 9
    assert (mahalanobis_distance(far) >= 3).all()
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["mine", "own", "far"]
    for side in (ax.get_xlim(), ax.get_ylim()):
        assert side[0] == 0
        assert side[1] > far.max()


def test_invalid_snrs_are_refused():
    with pytest.raises(ValueError, match="unknown SNR distribution"):
        plot_snr("3t")
    with pytest.raises(TypeError, match="reference must be"):
        plot_snr(reference="inverted")
    with pytest.raises(ValueError, match="rings"):
        plot_snr(rings=[0])
    with pytest.raises(ValueError, match="mine must be"):
        plot_snr({"mine": [[1, 2, 3]]})


SCORES = {"cubic": [0.2, 0.3, 0.25], "srep": [0.15, 0.28, 0.2], "ddl": [0.21, 0.2, 0.22]}


def test_subjects_are_joined_across_methods(ax):
    assert plot_scores(SCORES, label="NRMSE", ax=ax) is ax
    dots = [np.asarray(c.get_offsets()) for c in ax.collections if len(c.get_offsets()) == 3]
    for n, (dot, values) in enumerate(zip(dots, SCORES.values(), strict=True)):
        np.testing.assert_array_equal(dot, [(n, value) for value in values])
    subjects = np.array(list(SCORES.values())).T
    for line, values in zip(ax.lines, subjects, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert [t.get_text() for t in ax.get_xticklabels()] == list(SCORES)
    assert ax.get_ylabel() == "NRMSE"
    assert not zero_lines(ax)


def zero_lines(ax):
    return [line for line in ax.lines if list(line.get_ydata()) == [0, 0]]


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_equal_a_paired_t_test(confidence, ax):
    plot_scores(SCORES, baseline="cubic", confidence=confidence, ax=ax)
    assert len(zero_lines(ax)) == 1
    assert [t.get_text() for t in ax.get_xticklabels()] == ["srep", "ddl"]
    for container, name in zip(ax.containers, ("srep", "ddl"), strict=True):
        _, _, (bar,) = container
        (bottom, top) = bar.get_segments()[0][:, 1]
        expected = stats.ttest_rel(SCORES[name], SCORES["cubic"]).confidence_interval(confidence)
        np.testing.assert_allclose((bottom, top), expected)


def test_missing_and_single_scores_are_drawn(ax):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, np.nan], "b": [2.0, 3.0], "c": [np.nan, np.nan]})
    plot_scores(table, ax=ax)
    assert len(ax.containers) == 2
    ax.figure.canvas.draw()


def test_negative_scores_have_a_zero_line(ax):
    plot_scores({"gain": [-0.1, 0.2]}, ax=ax)
    assert len(zero_lines(ax)) == 1


def test_invalid_scores_are_refused():
    with pytest.raises(TypeError, match="dict of lists"):
        plot_scores([1, 2])
    with pytest.raises(ValueError, match="same number"):
        plot_scores({"a": [1, 2], "b": [1]})
    with pytest.raises(ValueError, match="same number"):
        plot_scores({})
    with pytest.raises(ValueError, match="baseline must be one of"):
        plot_scores(SCORES, baseline="forest")
    with pytest.raises(ValueError, match="no method to compare"):
        plot_scores({"a": [1, 2]}, baseline="a")
    with pytest.raises(ValueError, match="confidence"):
        plot_scores(SCORES, confidence=95)
