"""The interpolation baseline as a layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_iqt.deep.modules import Upsample
from sklearn_iqt.preprocessing import upsample

torch.set_num_threads(1)


@settings(max_examples=25)
@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    scale=st.tuples(*[st.integers(1, 4)] * 3),
    alignment=st.sampled_from(["center", "corner"]),
    order=st.integers(0, 3),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_layer_equals_the_baseline(shape, scale, alignment, order, dtype):
    volume = np.random.default_rng(0).random((2, 1, *shape), dtype=dtype)
    layer = Upsample(scale, order, alignment)
    expected = upsample(volume, scale, order=order, alignment=alignment)
    out = layer(torch.from_numpy(volume))
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5 if dtype == np.float32 else 1e-12)
    assert out.numpy().dtype == dtype


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_a_delta_lands_on_the_right_high_voxels(factor):
    low = torch.zeros(1, 1, 1, 1, 9, dtype=torch.float64)
    low[..., 4] = 1
    position = torch.arange(9 * factor)
    corner = Upsample((1, 1, factor), alignment="corner")(low).flatten()
    assert corner.argmax() == 4 * factor
    torch.testing.assert_close(corner[4 * factor].item(), 1.0)
    center = Upsample((1, 1, factor), alignment="center")(low).flatten()
    middle = 4 * factor + (factor - 1) / 2
    torch.testing.assert_close((center * position).sum().item() / center.sum().item(), middle)
    torch.testing.assert_close(center, center.flip(0))


def test_layer_keeps_float32_under_autocast():
    x = torch.rand(1, 1, 4, 4, 8)
    layer = Upsample((1, 1, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.float32
    assert torch.equal(out, layer(x))


def test_layer_can_train_after_inference_mode():
    """A matrix that was first built while inferring must serve autograd afterwards."""
    layer = Upsample((1, 1, 7))
    with torch.inference_mode():
        layer(torch.rand(1, 1, 2, 2, 11))
    x = torch.rand(1, 1, 2, 2, 11, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == x.shape


def test_an_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match="alignment must be 'center' or 'corner', got 'middle'"):
        Upsample(2, alignment="middle")
