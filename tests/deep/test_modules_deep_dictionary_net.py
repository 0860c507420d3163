"""The whole net of image quality transfer with a deep dictionary."""

from __future__ import annotations

import io

import pytest
import torch

from sklearn_iqt.deep.modules import DeepDictionaryNet, Upsample, reconstruct

torch.set_num_threads(1)


def tiny(scale=(1, 1, 4), **parameters):
    torch.manual_seed(0)
    return DeepDictionaryNet(4, scale, n_blocks=2, patch_size=(8, 8, 4), **parameters)


@pytest.mark.parametrize(
    ("n_atoms", "expected"),
    [(8, 430_867), (16, 1_716_859), (32, 6_854_731), (64, 27_394_027), (128, 109_526_827)],
)
def test_net_has_the_parameters_of_the_table(n_atoms, expected):
    with torch.device("meta"):
        net = DeepDictionaryNet(n_atoms, complementary=2)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


@pytest.mark.parametrize("complementary", ["auto", 2, 1])
@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((8, 8, 4), (1, 1, 4)),
        ((9, 7, 5), (1, 1, 4)),
        ((1, 6, 1), (1, 1, 4)),
        ((1, 1, 1), (2, 2, 2)),
        ((6, 5, 4), (1, 1, 3)),
        ((5, 6, 4), (3, 1, 5)),
        ((5, 6, 7), (2, 3, 1)),
        ((5, 6, 7), (1, 1, 1)),
    ],
)
def test_output_is_the_input_times_the_scale(shape, scale, complementary):
    net = tiny(scale, complementary=complementary)
    high = tuple(n * s for n, s in zip(shape, scale, strict=True))
    out = net(torch.rand(2, 1, *shape))
    assert out.shape == (2, 1, *high)
    assert torch.isfinite(out).all()


def test_without_upscaling_the_complementary_branch_vanishes():
    net = tiny((1, 1, 1))
    assert net.complementary is None
    assert net.fusion is None
    assert tiny(complementary=1).fusion is None


@pytest.mark.parametrize("complementary", ["auto", 2])
def test_gradients_reach_every_parameter(complementary):
    net = DeepDictionaryNet(8, complementary=complementary, fusion_init="uniform")
    low = torch.rand(4, 1, 8, 8, 4)
    # Normalised but in evaluation mode, because in training batch normalisation hides the biases
    # in front of it.
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.momentum = 1.0
    net(low)
    net.eval()(low).square().sum().backward()
    missing = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert missing == []


def test_net_overfits_two_patches():
    """The error falls to a fraction of that of interpolation, whatever dictionary is drawn."""
    torch.manual_seed(0)
    net = DeepDictionaryNet(8, (1, 1, 2), n_blocks=2, patch_size=(6, 6, 3), padding_mode="zeros")
    low = torch.rand(2, 1, 6, 6, 3)
    detail = torch.nn.functional.avg_pool3d(torch.rand(2, 1, 6, 6, 6) - 0.5, 3, 1, 1)
    high = Upsample((1, 1, 2))(low) + detail
    n_steps = 150
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = (net(low) - high).abs().mean()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert loss < 0.1 * detail.abs().mean()


def test_output_is_the_interpolation_plus_a_residual_of_atoms():
    net, low = tiny(complementary=1).eval(), torch.rand(1, 1, 8, 8, 4)
    atoms, code = net.dictionary(net.eval_noise)
    residual = reconstruct(net.predictor(net.extractor(low), code), atoms)
    torch.testing.assert_close(net(low), residual + Upsample((1, 1, 4))(low))
    assert residual.abs().max() < 1


@pytest.mark.parametrize("alignment", ["center", "corner"])
def test_a_delta_in_the_low_volume_comes_out_where_it_lies(alignment):
    """The skip carries it; the net's own part is the same constant far from the delta's effect."""
    net = tiny(alignment=alignment).eval()
    low = torch.zeros(1, 1, 5, 5, 9)
    low[0, 0, 2, 2, 4] = 1e4
    with torch.inference_mode():
        out = net(low)[0, 0]
    peak = out[2, 2].argmax().item()
    assert peak in ({17, 18} if alignment == "center" else {16})
    assert out.abs().amax(dim=2).argmax() == 2 * 5 + 2
    blocks = out[2, 2].unfold(0, 4, 4)
    assert blocks.mean(dim=1).argmax() == 4


def test_without_the_skip_an_atom_fills_the_block_of_its_voxel():
    """A voxel whose weights differ changes its own four high voxels, and no others."""
    net = tiny(global_skip=False, complementary=1).eval()
    atoms, _ = net.dictionary(net.eval_noise)
    maps = torch.zeros(1, 4, 3, 3, 5)
    maps[:, 0] = 1
    other = maps.clone()
    other[0, :, 1, 2, 3] = torch.tensor([0.0, 0, 1, 0])
    changed = (reconstruct(maps, atoms) != reconstruct(other, atoms))[0, 0]
    assert changed.nonzero().tolist() == [[1, 2, k] for k in range(12, 16)]


def test_evaluation_is_deterministic_and_training_draws_each_time():
    net, low = tiny(), torch.rand(2, 1, 8, 8, 4)
    net.train()
    assert not torch.equal(net(low), net(low))
    net.eval()
    assert torch.equal(net(low), net(low))
    alone = torch.cat([net(low[:1]), net(low[1:])])
    torch.testing.assert_close(net(low), alone)


def test_fixed_dictionary_is_what_evaluation_uses_and_what_the_state_keeps():
    net, low = tiny().eval(), torch.rand(1, 1, 8, 8, 4)
    before = net(low)
    noise = torch.randn(4)
    atoms, code = net.fix_dictionary(noise)
    assert atoms.shape == (4, 1, 1, 4)
    assert code.shape == (4,)
    assert not atoms.requires_grad
    torch.testing.assert_close(net.dictionary(noise[None])[0][0], atoms)
    after = net(low)
    assert torch.equal(after, net(low, noise=noise[None]))
    assert not torch.equal(after, before)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    copy = DeepDictionaryNet(4, (1, 1, 4), n_blocks=2, patch_size=(8, 8, 4)).eval()
    copy.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(copy(low), after)


def test_noise_of_a_training_step_is_one_per_sample_or_shared():
    seen = []
    for noise in ("per_sample", "shared"):
        net = tiny(noise=noise)
        net.dictionary.register_forward_hook(
            lambda _, inputs, outputs: seen.append((inputs[0], outputs[0]))
        )
        net(torch.rand(3, 1, 4, 4, 4))
    assert [len(noise) for noise, _ in seen] == [3, 1]
    assert [len(atoms) for _, atoms in seen] == [3, 1]
    assert len({tuple(row.tolist()) for row in seen[0][0]}) == 3


def test_shuffle_reorders_atoms_but_not_what_the_state_is():
    net, low = tiny().train(), torch.rand(2, 1, 8, 8, 4)
    noise = torch.randn(1, 4)
    plain = net(low, noise=noise)
    outputs = [net(low, noise=noise, shuffle=True) for _ in range(6)]
    assert any(not torch.allclose(out, plain) for out in outputs)
    torch.testing.assert_close(net(low, noise=noise), plain)


def test_a_skip_that_is_passed_in_replaces_the_computed_one():
    net, low = tiny().eval(), torch.rand(1, 1, 8, 8, 4)
    skip = torch.rand(1, 1, 8, 8, 16)
    torch.testing.assert_close(net(low, skip=skip) - skip, net(low) - net.upsample(low))
    with pytest.raises(ValueError, match="has no global_skip"):
        tiny(global_skip=False)(low, skip=skip)


def test_net_runs_under_autocast_and_adds_the_skip_in_float32():
    net, low = tiny().eval(), torch.rand(1, 1, 8, 8, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        mixed = net(low)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, net(low).detach(), atol=0.05, rtol=0)


def test_an_unknown_noise_is_refused():
    with pytest.raises(ValueError, match="noise must be 'per_sample' or 'shared'; got 'none'"):
        DeepDictionaryNet(4, noise="none")
