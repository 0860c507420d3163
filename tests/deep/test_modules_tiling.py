"""Both nets are convolutional: tiles agree with the whole beyond a known margin."""

from __future__ import annotations

import pytest
import torch

from sklearn_iqt.deep.modules import AnisoUNet, DeepDictionaryNet

torch.set_num_threads(1)


def ddl(scale=(1, 1, 4), padding_mode="zeros", **parameters):
    parameters = {"global_skip": False, "n_blocks": 2, **parameters}
    return DeepDictionaryNet(2, scale, padding_mode=padding_mode, **parameters)


def unet(n_levels, scale, padding_mode="zeros", **parameters):
    return AnisoUNet(2, n_levels, scale, global_skip=False, padding_mode=padding_mode, **parameters)


NETS = {
    "ddl": lambda: ddl(),
    "ddl-literal": lambda: ddl(complementary=2),
    "ddl-odd": lambda: ddl((1, 3, 1), patch_size=(16, 16, 16)),
    "unet-4": lambda: unet(4, (1, 1, 4)),
    "unet-mappings": lambda: unet(2, (1, 1, 2), n_mappings=6),
    "ddl-replicate": lambda: ddl(padding_mode="replicate"),
    "unet-replicate": lambda: unet(3, (1, 1, 4), padding_mode="replicate"),
    "unet-6": lambda: unet(3, (1, 1, 6)),
    "unet-blocks": lambda: unet(3, (1, 1, 2), block_size=(2, 1, 3), padding_mode="replicate"),
}


def settled(build):
    """Build a net and let its batch normalisation see something."""
    torch.manual_seed(0)
    net = build()
    for _ in range(3):
        net.train()(torch.rand(2, 1, 16, 16, 16))
    return net.eval()


def long_volume(length, axis, dtype=torch.float32):
    shape = [4, 4, 4]
    shape[axis] = length
    return torch.rand(1, 1, *shape, dtype=dtype)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", list(NETS))
def test_a_tile_agrees_with_the_whole_beyond_its_margin(name, axis):
    net = settled(NETS[name])
    margin, step, factor = net.margin[axis], net.tile_multiple[axis], net.scale[axis]
    start = step * 3
    low = long_volume(start + 2 * margin + 8 + step * 3, axis)
    size = 2 * margin + 8
    with torch.inference_mode():
        whole = net(low)
        tile = net(low.narrow(axis + 2, start, size))
    inside = tile.narrow(axis + 2, margin * factor, 8 * factor)
    same = whole.narrow(axis + 2, (start + margin) * factor, 8 * factor)
    torch.testing.assert_close(inside, same, atol=1e-5, rtol=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", list(NETS))
def test_margin_is_no_smaller_than_the_reach_and_hardly_larger(name, axis):
    """Positive weights let every path through, and gradients show how far the paths go."""
    net = settled(NETS[name]).double()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.reset_running_stats()
        elif isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.weight.data.abs_()
            module.weight.data /= module.weight.data.flatten(1).sum(dim=1).max()
            module.bias.data.fill_(0.01)
    margin, step, factor = net.margin[axis], net.tile_multiple[axis], net.scale[axis]
    low = long_volume(2 * margin + 2 * step, axis, torch.float64).requires_grad_()
    out = net(low).movedim(axis + 2, 0)
    reaches = []
    for voxel in range(margin, margin + step):
        block = out[voxel * factor : (voxel + 1) * factor, ..., 0]
        (slope,) = torch.autograd.grad(block.sum(), low, retain_graph=True)
        touched = slope.movedim(axis + 2, 0).flatten(1).any(dim=1).nonzero()
        reaches += [voxel - touched.min().item(), touched.max().item() - voxel]
    # The maximum of a pooling cell stands for only one of the paths through it.
    assert margin - step - 1 <= max(reaches) <= margin


@pytest.mark.parametrize(
    "build",
    [
        lambda **p: DeepDictionaryNet(8, global_skip=False, **p),
        lambda **p: AnisoUNet(4, 3, global_skip=False, **p),
    ],
    ids=["ddl", "unet"],
)
def test_a_repeated_edge_hides_the_size_of_a_constant_volume(build):
    """With zeros beyond the edge, a small and a large constant volume come out differently."""
    differences = {}
    for padding_mode in ("zeros", "replicate"):
        net = settled(lambda mode=padding_mode: build(padding_mode=mode))
        with torch.inference_mode():
            small, large = net(torch.ones(1, 1, 16, 16, 8)), net(torch.ones(1, 1, 32, 32, 16))
        difference = small - large[..., :16, :16, :32]
        differences[padding_mode] = difference[..., :8, :8, :16].abs().max()
    assert 100 * differences["replicate"] < differences["zeros"]
