"""Prediction is made faster without changing the function of the net."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_iqt.deep._inference import Predictor, multiply_voxels
from sklearn_iqt.deep.modules import AnisoUNet, DeepDictionaryNet, _aniso_unet


def make_net(kind, padding_mode, scale=(1, 1, 4)):
    """Build a net whose batch normalisation does something, with factors of either sign."""
    torch.manual_seed(0)
    if kind == "unet":
        net = AnisoUNet(4, 4, scale, global_skip=False, padding_mode=padding_mode)
    else:
        net = DeepDictionaryNet(4, scale, n_blocks=2, global_skip=False, padding_mode=padding_mode)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return net.eval()


@pytest.mark.parametrize("signs", ["either sign", "positive"])
@pytest.mark.parametrize("padding_mode", ["replicate", "zeros"])
@pytest.mark.parametrize("kind", ["unet", "ddl"])
def test_folded_norms_compute_the_same_function(kind, padding_mode, signs, rng):
    net = make_net(kind, padding_mode)
    if signs == "positive":
        for norm in net.modules():
            if isinstance(norm, nn.BatchNorm3d):
                norm.weight.data.abs_()
    before = copy.deepcopy(net.state_dict())
    x = rng.random((2, 1, 18, 17, 6))
    with torch.inference_mode():
        expected = copy.deepcopy(net).double()(torch.from_numpy(x)).numpy()
    largest = np.abs(expected).max()
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        predictor = Predictor(net, np.dtype(dtype), mixed_precision=False)
        out = predictor(x.astype(dtype))
        assert out.dtype == dtype
        np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance * largest)
        left = sum(isinstance(m, nn.BatchNorm3d) for m in predictor.net.modules())
        assert left < sum(isinstance(m, nn.BatchNorm3d) for m in net.modules())
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(4, 6, 1),
        nn.Conv3d(4, 6, 1, bias=False),
        nn.Conv3d(4, 6, 1, stride=2),
        nn.Conv3d(4, 6, 3),
        nn.ConvTranspose3d(4, 6, (1, 2, 3), stride=(1, 2, 3)),
        nn.ConvTranspose3d(4, 6, 1, bias=False),
        nn.ConvTranspose3d(4, 6, 2, stride=1),
        nn.Conv3d(4, 6, 1, groups=2),
        nn.Conv3d(4, 6, 1, padding=1),
        nn.ConvTranspose3d(4, 6, 2, stride=2, groups=2),
        nn.ConvTranspose3d(4, 6, 2, stride=2, padding=1),
        nn.ConvTranspose3d(4, 6, 2, stride=2, output_padding=1),
        nn.ConvTranspose3d(4, 6, 2, stride=2, dilation=2),
    ],
    ids=str,
)
def test_products_of_voxels_are_the_convolutions(layer, memory_format, rng):
    net = nn.Sequential(copy.deepcopy(layer)).double()
    x = torch.from_numpy(rng.random((2, 4, 5, 6, 3))).to(memory_format=memory_format)
    with torch.inference_mode():
        expected = net(x)
        torch.testing.assert_close(multiply_voxels(net)(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [(1, 1, 4), (2, 1, 3), (4, 2, 1)])
@pytest.mark.parametrize("padding_mode", ["replicate", "zeros"])
def test_slabs_are_seamless(scale, padding_mode, rng, monkeypatch):
    net = make_net("unet", padding_mode, scale).double()
    x = torch.from_numpy(rng.random((1, 1, 45, 9, 6)))
    with torch.inference_mode():
        whole = net(x)
        calls = []
        net.head.register_forward_hook(lambda *_: calls.append(1))
        monkeypatch.setattr(_aniso_unet, "SLAB_BYTES", 1)
        torch.testing.assert_close(net(x), whole, rtol=0, atol=1e-12 * float(whole.abs().max()))
    assert len(calls) > 5


def test_training_never_goes_in_slabs(rng, monkeypatch):
    """Batch normalisation needs the whole batch at once."""
    net = make_net("unet", "replicate").train()
    monkeypatch.setattr(_aniso_unet, "SLAB_BYTES", 1)
    calls = []
    net.head.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        net(torch.from_numpy(rng.random((2, 1, 16, 8, 4), np.float32)))
    assert len(calls) == 1


def test_a_predictor_leaves_nothing_behind():
    predictor = Predictor(
        make_net("unet", "replicate"), np.dtype(np.float32), mixed_precision=False
    )
    layers = [weakref.ref(layer) for layer in predictor.net.modules()]
    gc.disable()
    try:
        del predictor
        assert not any(layer() for layer in layers)
    finally:
        gc.enable()
