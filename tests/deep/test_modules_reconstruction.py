"""Blocks, weights, complementary weights and their fusion."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_iqt.deep.modules import (
    ComplementaryMap,
    Fusion,
    PixelPredictor,
    complementary_kernel,
    interleave,
    reconstruct,
)

torch.set_num_threads(1)

triples = st.tuples(*[st.integers(1, 4)] * 3)


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@settings(max_examples=30)
@given(shape=triples, scale=triples)
def test_interleave_puts_each_block_where_its_voxel_is(shape, scale):
    blocks = torch.rand(2, prod(scale), *shape)
    grid = interleave(blocks, scale)
    assert grid.shape == (2, 1, *(n * s for n, s in zip(shape, scale, strict=True)))
    corner = grid[:, 0, -scale[0] :, -scale[1] :, -scale[2] :]
    assert torch.equal(corner.flatten(1), blocks[..., -1, -1, -1])
    first = grid[:, 0, : scale[0], : scale[1], : scale[2]]
    assert torch.equal(first.flatten(1), blocks[..., 0, 0, 0])


@settings(max_examples=30)
@given(shape=triples, scale=triples, n_atoms=st.integers(1, 5))
def test_reconstruct_is_the_sum_over_the_expanded_tensors(shape, scale, n_atoms):
    """Equations (5) and (6) literally: repeat both factors over the high grid and sum."""
    maps, atoms = torch.rand(2, n_atoms, *shape), torch.rand(2, n_atoms, *scale)
    raised = maps
    for axis, factor in enumerate(scale, start=2):
        raised = raised.repeat_interleave(factor, dim=axis)
    expected = (raised * atoms.repeat(1, 1, *shape)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(reconstruct(maps, atoms), expected)
    shared = (raised * atoms[:1].repeat(1, 1, *shape)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(reconstruct(maps, atoms[:1]), shared)


def test_one_hot_maps_tile_the_atom():
    atoms = torch.randn(1, 6, 1, 2, 4)
    maps = torch.zeros(1, 6, 5, 3, 2)
    maps[:, 4] = 1
    assert torch.equal(reconstruct(maps, atoms)[0, 0], atoms[0, 4].repeat(5, 3, 2))


@pytest.mark.parametrize(("n_atoms", "expected"), [(64, 405_440), (128, 1_609_600)])
def test_predictor_has_the_parameters_of_the_table(n_atoms, expected):
    with torch.device("meta"):
        assert n_parameters(PixelPredictor(n_atoms)) == expected


def test_predictor_equals_that_with_a_concatenation():
    torch.manual_seed(0)
    predictor = PixelPredictor(4, n_blocks=2).eval()
    features, code = torch.randn(2, 4, 3, 5, 2), torch.randn(2, 4)
    expanded = code[..., None, None, None].expand_as(features)
    joined = predictor.join(torch.cat([features, expanded], dim=1))
    expected = torch.softmax(predictor.head(joined + predictor.body(joined)), dim=1)
    maps = predictor(features, code)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(2, 3, 5, 2))
    assert maps.min() > 0


@pytest.mark.parametrize(
    ("complementary", "scale", "expected"),
    [
        ("auto", (1, 1, 4), (1, 1, 2)),
        ("auto", (1, 1, 1), (1, 1, 1)),
        ("auto", (2, 3, 1), (2, 2, 1)),
        (2, (1, 1, 4), (2, 2, 2)),
        (1, (1, 1, 4), (1, 1, 1)),
        ((1, 2, 2), (1, 1, 4), (1, 2, 2)),
    ],
)
def test_complementary_kernel(complementary, scale, expected):
    assert complementary_kernel(complementary, scale) == expected


@pytest.mark.parametrize("complementary", [3, "full", (1, 1, 5)])
def test_an_unknown_complementary_kernel_is_refused(complementary):
    with pytest.raises(ValueError, match="must be 'auto', 1, 2 or"):
        complementary_kernel(complementary, (1, 1, 4))


@pytest.mark.parametrize(
    ("n_atoms", "kernel", "expected"),
    [(64, 2, 36_992), (128, 2, 147_712), (64, (1, 1, 2), 12_416), (128, (1, 1, 2), 49_408)],
)
def test_complementary_map_has_the_parameters_of_the_table(n_atoms, kernel, expected):
    assert n_parameters(ComplementaryMap(n_atoms, kernel)) == expected


def test_complementary_weights_sum_to_one_and_see_two_neighbours():
    layer = ComplementaryMap(4, (1, 1, 2))
    maps = torch.rand(1, 4, 3, 3, 6)
    weights = layer(maps)
    assert weights.shape == (1, 4, 3, 3, 5)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 3, 3, 5))
    changed = maps.clone()
    changed[..., 3] += 1
    touched = (layer(changed) != weights).any(dim=1)[0, 0, 0]
    assert touched.tolist() == [False, False, True, True, False]


def test_fusion_has_the_parameters_and_the_region_of_the_table():
    fusion = Fusion((1, 1, 4), (1, 1, 2))
    assert n_parameters(fusion) == 251
    lengths = [part.stop - part.start for part in fusion.region((32, 32, 32))]
    assert lengths == [28, 28, 24]


@pytest.mark.parametrize(
    ("scale", "kernel"),
    [((1, 1, 4), (1, 1, 2)), ((1, 1, 4), (2, 2, 2)), ((3, 1, 5), (2, 1, 2)), ((2, 2, 2), 2)],
)
def test_fusion_changes_only_its_region(scale, kernel):
    fusion = Fusion(scale, kernel, init="uniform")
    blocks, crop = (6, 7, 5), [near + far for near, far in fusion.crop]
    shape = [n * s for n, s in zip(blocks, scale, strict=True)]
    x = torch.rand(1, 1, *shape)
    complement = torch.rand(1, 1, *(n - c for n, c in zip(shape, crop, strict=True)))
    before = x.clone()
    out = fusion(x, complement)
    assert torch.equal(x, before)
    changed = torch.zeros(shape, dtype=torch.bool)
    changed[fusion.region(shape)] = True
    assert torch.equal(out[0, 0] != x[0, 0], changed)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_complement_lies_where_the_edge_between_two_blocks_is(factor):
    """Its block n straddles the edge of blocks n and n + 1, to half a voxel for odd factors."""
    fusion = Fusion((1, 1, factor), (1, 1, 2))
    near, far = fusion.crop[2]
    assert near + far == factor
    centre_of_first_complement = near + (factor - 1) / 2
    edge = factor - 0.5
    assert edge - centre_of_first_complement == (0.5 if factor % 2 else 0)


def test_fusion_starts_as_the_mean_of_overlapping_voxels():
    fusion = Fusion((1, 1, 4), (1, 1, 2))
    ramp = torch.arange(32.0).expand(1, 1, 8, 8, 32)
    out = fusion(ramp, ramp[..., 2:-2] + 10)
    expected = ramp.clone()
    expected[..., 2:-2, 2:-2, 4:-4] += 5
    torch.testing.assert_close(out, expected)


def test_too_small_a_patch_is_not_fused():
    x = torch.rand(1, 1, 4, 8, 8)
    assert torch.equal(Fusion((1, 1, 4), (1, 1, 2))(x, x[..., 2:-2]), x)


def test_an_unknown_first_weight_of_the_fusion_is_refused():
    with pytest.raises(ValueError, match="init must be 'average' or 'uniform'; got 'zero'"):
        Fusion((1, 1, 4), (1, 1, 2), init="zero")
