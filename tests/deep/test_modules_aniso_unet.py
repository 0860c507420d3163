"""The anisotropic U-Net and its parts."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_iqt.deep.modules import (
    AnisoUNet,
    ResidualCore,
    SkipBottleneck,
    Upsample,
    plan_levels,
)

torch.set_num_threads(1)


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(scale=(1, 1, 4), n_levels=3, **parameters):
    torch.manual_seed(0)
    return AnisoUNet(4, n_levels, scale, **{"global_skip": False, **parameters})


@pytest.mark.parametrize(
    ("n_filters", "n_levels", "scale", "expected"),
    [
        (16, 5, (1, 1, 4), 9_685_017),
        (16, 5, (1, 1, 8), 9_692_185),
        (16, 4, (1, 1, 4), 2_412_889),
        (4, 5, (1, 1, 8), 607_951),
    ],
)
def test_net_has_the_parameters_of_the_table(n_filters, n_levels, scale, expected):
    with torch.device("meta"):
        assert n_parameters(AnisoUNet(n_filters, n_levels, scale)) == expected


def test_stages_have_the_parameters_of_the_table():
    with torch.device("meta"):
        net = AnisoUNet()
    assert list(map(n_parameters, net.down)) == [7_504, 42_272, 168_512, 672_896, 2_689_280]
    assert list(map(n_parameters, net.skips)) == [4_872, 17_168, 64_032, 255_040]
    assert list(map(n_parameters, net.expand)) == [4_112, 16_416, 65_600, 262_272]
    assert list(map(n_parameters, net.up)) == [21_392, 85_280, 340_544, 1_361_024]
    assert n_parameters(net.bottom) == 3_606_784
    assert n_parameters(net.head) == 17


def test_each_stage_has_the_shape_of_the_table():
    net, shapes = AnisoUNet(2).eval(), {}
    for name, module in net.named_modules():
        if isinstance(module, ResidualCore | SkipBottleneck):
            module.register_forward_hook(
                lambda _, x, out, name=name: shapes.update({name: tuple(out.shape[2:])})
            )
    with torch.inference_mode():
        net(torch.rand(1, 1, 32, 32, 8))
    down = [(32, 32, 8), (16, 16, 8), (8, 8, 8), (4, 4, 4), (2, 2, 2)]
    up = [(32, 32, 32), (16, 16, 16), (8, 8, 8), (4, 4, 4)]
    assert [shapes[f"down.{level}"] for level in range(5)] == down
    assert [shapes[f"skips.{level}"] for level in range(4)] == up
    assert [shapes[f"up.{level}"] for level in range(4)] == up


@pytest.mark.parametrize(
    ("factor", "raises", "pools"),
    [
        (1, [1, 1, 1, 1], [(2, 2, 2)] * 3),
        (2, [2, 1, 1, 1], [(2, 2, 1), (2, 2, 2), (2, 2, 2)]),
        (3, [3, 1, 1, 1], [(3, 3, 1), (2, 2, 2), (2, 2, 2)]),
        (4, [4, 2, 1, 1], [(2, 2, 1), (2, 2, 1), (2, 2, 2)]),
        (6, [6, 2, 1, 1], [(3, 3, 1), (2, 2, 1), (2, 2, 2)]),
        (8, [8, 4, 2, 1], [(2, 2, 1)] * 3),
    ],
)
def test_slice_factors_are_planned_as_in_the_reference(factor, raises, pools):
    levels = plan_levels((1, 1, factor), 4)
    assert [level.raise_by for level in levels] == [(1, 1, u) for u in raises]
    assert [level.pool for level in levels[:-1]] == pools


@settings(max_examples=60)
@given(scale=st.tuples(*[st.integers(1, 12)] * 3))
def test_both_grids_of_every_level_agree(scale):
    """Down by the pools and up by the skip is down from the high grid by the expansions."""
    levels = plan_levels(scale, 5)
    for axis, factor in enumerate(scale):
        low, high = 1, 1
        for level in levels:
            assert high * level.raise_by[axis] == low * factor
            low *= level.pool[axis]
            high *= level.expand[axis]
        assert levels[-1].raise_by[axis] == 1


@pytest.mark.parametrize(("scale", "n_levels"), [((1, 1, 4), 2), ((1, 1, 8), 3), ((3, 1, 1), 1)])
def test_too_few_levels_are_refused(scale, n_levels):
    with pytest.raises(ValueError, match=f"n_levels={n_levels} is too few"):
        AnisoUNet(4, n_levels, scale)


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((8, 8, 4), (1, 1, 4)),
        ((9, 7, 5), (1, 1, 4)),
        ((1, 1, 1), (1, 1, 4)),
        ((7, 8, 3), (1, 1, 3)),
        ((7, 13, 5), (1, 1, 6)),
        ((5, 6, 7), (2, 3, 1)),
        ((5, 6, 7), (2, 2, 2)),
        ((5, 6, 7), (1, 1, 1)),
    ],
)
def test_output_is_the_input_times_the_scale(shape, scale):
    high = tuple(n * s for n, s in zip(shape, scale, strict=True))
    with torch.inference_mode():
        out = tiny(scale).eval()(torch.rand(2, 1, *shape))
    assert out.shape == (2, 1, *high)
    assert torch.isfinite(out).all()


def test_padding_repeats_the_edge():
    net, low = tiny().eval(), torch.rand(1, 1, 6, 8, 5)
    padded = low[:, :, [0, 1, 2, 3, 4, 5, 5, 5]]
    assert net.tile_multiple == (4, 4, 1)
    torch.testing.assert_close(net(low), net(padded)[:, :, :6])


def test_normalisation_follows_the_activation_with_the_keras_constants():
    core = ResidualCore(2, 6)
    kinds = [type(layer).__name__ for layer in core.convs[0]]
    assert kinds == ["Conv3d", "ReLU", "BatchNorm3d"]
    norms = [m for m in tiny().modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    out = core.train()(torch.randn(2, 2, 8, 8, 8))
    torch.testing.assert_close(out.mean(dim=(0, 2, 3, 4)), torch.zeros(6), atol=1e-5, rtol=0)


def test_weights_are_glorot_uniform_without_biases():
    net = AnisoUNet(8, 4, global_skip=False)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            fans = sum(module.weight.shape[:2]) * prod(module.kernel_size)
            bound = (6 / fans) ** 0.5
            assert 0.8 * bound < module.weight.abs().max() <= bound
            assert not module.bias.any()


def test_skip_bottleneck_gives_every_voxel_a_separate_block():
    bottleneck = SkipBottleneck(4, (2, 1, 3), n_mappings=0).eval()
    x = torch.rand(1, 4, 3, 3, 3)
    changed = x.clone()
    changed[:, :, 1, 2, 0] += 1
    touched = (bottleneck(x) != bottleneck(changed)).any(dim=1)[0].nonzero()
    assert touched.amin(dim=0).tolist() == [2, 2, 0]
    assert touched.amax(dim=0).tolist() == [3, 2, 2]


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
def test_gradients_reach_every_parameter(padding_mode):
    net = tiny(padding_mode=padding_mode).eval()
    net(torch.rand(2, 1, 8, 8, 4)).square().sum().backward()
    missing = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert missing == []


def test_net_overfits_two_patches():
    net = tiny((1, 1, 2), padding_mode="zeros")
    low, high = torch.rand(2, 1, 4, 4, 4), torch.rand(2, 1, 4, 4, 8)
    n_steps = 150
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = (net(low) - high).square().mean()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert loss < 0.05 * high.var()


@pytest.mark.parametrize("alignment", ["center", "corner"])
def test_a_delta_in_the_low_volume_comes_out_where_it_lies(alignment):
    """With the skip, an untrained net is the interpolation."""
    net = tiny(alignment=alignment, global_skip=True).eval()
    low = torch.zeros(1, 1, 8, 8, 9)
    low[0, 0, 4, 4, 4] = 1
    with torch.inference_mode():
        out = net(low)
        torch.testing.assert_close(out, Upsample((1, 1, 4), 3, alignment)(low))
        assert out[0, 0, 4, 4].argmax().item() in ({17, 18} if alignment == "center" else {16})
        assert not net(low, skip=torch.zeros(1, 1, 8, 8, 36)).any()


def test_without_the_global_skip_passing_one_is_refused():
    low = torch.rand(1, 1, 8, 8, 4)
    assert tiny().upsample is None
    with pytest.raises(ValueError, match="has no global_skip"):
        tiny()(low, skip=torch.rand(1, 1, 8, 8, 16))
