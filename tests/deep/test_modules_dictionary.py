"""The tree that grows the dictionary, the code encoder, and the two together."""

from __future__ import annotations

from math import log2, prod

import numpy as np
import pytest
import torch
from torch.nn import functional

from sklearn_iqt.deep.modules import CodeEncoder, DeepDictionary, DictionaryGenerator

torch.set_num_threads(1)

SCALES = [(1, 1, 1), (1, 1, 3), (1, 1, 4), (2, 3, 1), (2, 2, 2)]


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n_atoms", [2, 8, 64])
def test_generator_has_the_nodes_and_parameters_of_the_table(n_atoms, scale):
    generator = DictionaryGenerator(n_atoms, scale)
    assert len(generator.levels) == log2(n_atoms)
    assert sum(level.weights.shape[1] for level in generator.levels) == 2 * n_atoms - 2
    c = prod(scale)
    assert n_parameters(generator) == (2 * n_atoms - 2) * 2 * (c**2 + c)


@pytest.mark.parametrize("scale", SCALES)
def test_atoms_have_the_shape_of_a_block_and_lie_between_minus_one_and_one(scale):
    torch.manual_seed(0)
    generator = DictionaryGenerator(16, scale)
    atoms = generator(5 * torch.randn(3, generator.n_noise))
    assert atoms.shape == (3, 16, *scale)
    assert atoms.abs().max() < 1


def test_generator_equals_a_tree_of_separate_nodes():
    """Walk from the root to every leaf with one matrix product per convolution."""
    torch.manual_seed(0)
    generator = DictionaryGenerator(8, (1, 2, 2))
    noise = torch.randn(4)
    atoms = generator(noise[None])[0]
    for leaf in range(8):
        value = noise
        for depth, level in enumerate(generator.levels, start=1):
            node = leaf >> (3 - depth)
            for n, activation in enumerate((torch.relu, torch.tanh if depth == 3 else torch.relu)):
                value = activation(value @ level.weights[n, node] + level.biases[n, node, 0])
        torch.testing.assert_close(atoms[leaf].flatten(), value)


def test_each_noise_vector_of_a_batch_grows_its_own_dictionary():
    generator = DictionaryGenerator(8)
    noise = torch.randn(3, 4)
    together = generator(noise)
    for one, row in zip(together, noise, strict=True):
        torch.testing.assert_close(generator(row[None])[0], one)
    assert not torch.allclose(together[0], together[1])


def test_shuffle_permutes_whole_atoms_in_one_order_for_the_batch():
    torch.manual_seed(3)
    generator = DictionaryGenerator(32)
    noise = torch.randn(2, 4)
    plain, shuffled = generator(noise), generator(noise, shuffle=True)
    distance = (plain[:, :, None] - shuffled[:, None]).abs().flatten(3).amax(dim=(0, 3))
    order = distance.argmin(dim=0)
    assert sorted(order.tolist()) == list(range(32))
    assert order.tolist() != list(range(32))
    torch.testing.assert_close(plain[:, order], shuffled)


@pytest.mark.parametrize("n_atoms", [0, 1, 3, 48])
def test_a_number_of_atoms_that_is_no_power_of_two_is_refused(n_atoms):
    with pytest.raises(ValueError, match=f"power of two.*got {n_atoms}"):
        DictionaryGenerator(n_atoms)


@pytest.mark.parametrize("scale", [0, (1, 4), (1, 1, 1.5)])
def test_a_scale_that_is_not_one_positive_integer_per_axis_is_refused(scale):
    with pytest.raises(ValueError, match="DictionaryGenerator: scale must be"):
        DictionaryGenerator(8, scale)


@pytest.mark.parametrize(("n_atoms", "expected"), [(64, 4480), (128, 17152)])
def test_code_encoder_has_the_parameters_of_the_table(n_atoms, expected):
    assert n_parameters(CodeEncoder(n_atoms, (1, 1, 4))) == expected


def test_first_layer_of_the_code_sees_one_atom_only():
    encoder = CodeEncoder(8, (1, 1, 4))
    atoms = torch.randn(1, 8, 1, 1, 4)
    changed = atoms.clone()
    changed[0, 5] += 1
    difference = (encoder.per_atom(changed) - encoder.per_atom(atoms)).flatten()
    assert np.flatnonzero(difference.detach()).tolist() == [5]
    expected = functional.linear(
        torch.relu(encoder.per_atom(atoms)).flatten(1),
        encoder.across_atoms.weight.flatten(1),
        encoder.across_atoms.bias,
    )
    torch.testing.assert_close(encoder(atoms), expected)


def test_shuffled_dictionary_is_encoded_in_its_new_order():
    torch.manual_seed(0)
    dictionary = DeepDictionary(16, (1, 1, 4))
    atoms, code = dictionary(torch.randn(1, 4), shuffle=True)
    torch.testing.assert_close(code, dictionary.encoder(atoms))
