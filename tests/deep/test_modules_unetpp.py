"""The feature extractor and its pooling plan."""

from __future__ import annotations

import pytest
import torch

from sklearn_iqt.deep.modules import UNetPlusPlus, pooling_plan

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("patch_size", "min_size", "expected"),
    [
        ((32, 32, 8), 2, ((2, 2, 2), (2, 2, 2), (2, 2, 1))),
        ((32, 32, 8), 1, ((2, 2, 2), (2, 2, 2), (2, 2, 2))),
        ((16, 16, 4), 2, ((2, 2, 2), (2, 2, 1), (2, 2, 1))),
        ((48, 48, 12), 2, ((2, 2, 2), (2, 2, 2), (2, 2, 1))),
        ((9, 9, 1), 1, ((2, 2, 1), (2, 2, 1), (2, 2, 1))),
    ],
)
def test_pooling_spares_short_axes(patch_size, min_size, expected):
    assert pooling_plan(patch_size, min_size=min_size) == expected


@pytest.mark.parametrize(("n_atoms", "expected"), [(64, 26_941_824), (128, 107_741_952)])
def test_extractor_has_the_parameters_of_the_table(n_atoms, expected):
    with torch.device("meta"):
        extractor = UNetPlusPlus(n_atoms, pooling_plan((32, 32, 8)))
    assert sum(parameter.numel() for parameter in extractor.parameters()) == expected


@pytest.mark.parametrize("shape", [(32, 32, 8), (7, 9, 5), (1, 1, 1), (2, 13, 3), (8, 8, 65)])
def test_features_have_the_size_of_the_input(shape):
    extractor = UNetPlusPlus(4, pooling_plan((32, 32, 8))).eval()
    with torch.inference_mode():
        assert extractor(torch.rand(1, 1, *shape)).shape == (1, 4, *shape)


def test_odd_sizes_move_no_voxel():
    """Voxels far from the cut do not notice that the volume ends on a partial pooling cell."""
    torch.manual_seed(0)
    extractor = UNetPlusPlus(2, pooling_plan((8, 2, 2))).eval()
    x = torch.rand(1, 1, 200, 4, 4)
    keep = 185 - extractor.margin[0]
    with torch.inference_mode():
        whole, cut = extractor(x), extractor(x[:, :, :185])
    torch.testing.assert_close(cut[:, :, :keep], whole[:, :, :keep])


def test_long_skip_reaches_the_features():
    extractor = UNetPlusPlus(4, pooling_plan(8))
    assert extractor.long_skip.out_channels == 2
    features = extractor(torch.rand(2, 1, 8, 8, 8))
    features.square().sum().backward()
    assert extractor.long_skip.weight.grad.abs().max() > 0
