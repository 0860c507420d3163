"""A damaged model file or checkpoint is refused, and never read with other numbers."""

import json
import os

import numpy as np
import pytest

from benchmarks.attack.damage import DAMAGES
from sklearn_iqt import CoupledDictionaryIQT, PatchTransformer, load_model, save_model
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence import TrainingCard, read_model_card


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Bytes of a model file with a training card."""
    high = np.random.default_rng(0).random((2, 8, 8, 16), dtype=np.float32) + 0.5
    low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
    model = CoupledDictionaryIQT(6, patcher=PatchTransformer(3), max_iter=1, random_state=0)
    path = tmp_path_factory.mktemp("models") / "model.iqt"
    training = TrainingCard(cohort="random numbers", seed=0, scores={"NRMSE": 0.5})
    return save_model(model.fit(low, high), path, training=training).read_bytes()


def is_refused(path):
    """Return whether a file is refused, also when only its card is read."""
    outcomes = []
    for read in (load_model, read_model_card):
        try:
            read(path)
        except UntrustedModelError:
            outcomes.append(True)
        else:
            outcomes.append(False)
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


def test_every_flipped_bit_in_the_numbers_is_refused(original, tmp_path):
    start = 8 + int.from_bytes(original[:8], "little")
    path = tmp_path / "model.iqt"
    rng = np.random.default_rng(0)
    for position in rng.integers(start, len(original), size=100):
        changed = bytearray(original)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises(UntrustedModelError, match="checksum differs"):
            load_model(path)


def test_every_flipped_bit_in_the_header_is_refused_or_only_changes_white_space(original, tmp_path):
    end = 8 + int.from_bytes(original[:8], "little")
    path = tmp_path / "model.iqt"
    rng = np.random.default_rng(1)
    for position in rng.integers(end, size=200):
        changed = bytearray(original)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        if not is_refused(path):
            assert json.loads(changed[8:end]) == json.loads(original[8:end])


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_model_files_are_refused(name, original, tmp_path):
    rng = np.random.default_rng(list(DAMAGES).index(name))
    path = tmp_path / "model.iqt"
    for _ in range(10):
        content = DAMAGES[name](original, rng)
        path.write_bytes(content)
        assert content == original or is_refused(path)


@pytest.mark.parametrize("entry", ["cohort", "seed", "scores"])
def test_a_changed_training_card_is_refused(entry, original, tmp_path):
    path = tmp_path / "model.iqt"
    names = {"cohort": (b"random numbers", b"remote numbers"), "seed": (b'seed\\":0', b'seed\\":1')}
    old, new = {**names, "scores": (b"0.5}", b"0.1}")}[entry]
    assert original.count(old) == 1
    path.write_bytes(original.replace(old, new))
    assert is_refused(path)


def test_a_file_without_a_checksum_is_refused(original, tmp_path):
    length = int.from_bytes(original[:8], "little")
    header = json.loads(original[8 : 8 + length])
    del header["__metadata__"]["sha256"]
    text = json.dumps(header).encode()
    path = tmp_path / "model.iqt"
    path.write_bytes(len(text).to_bytes(8, "little") + text + original[8 + length :])
    assert is_refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
@pytest.mark.parametrize("read", [load_model, read_model_card])
def test_a_named_pipe_does_not_block(read, tmp_path):
    os.mkfifo(tmp_path / "model.iqt")
    with pytest.raises(OSError, match="not a regular file"):
        read(tmp_path / "model.iqt")


def test_other_programs_read_the_arrays(original, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.iqt"
    path.write_bytes(original)
    arrays = numpy.load_file(path)
    np.testing.assert_array_equal(arrays["dictionary_high_"], load_model(path).dictionary_high_)
