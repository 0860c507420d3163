"""A damaged checkpoint is refused with one type of error, and never continued."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from benchmarks.attack.damage import DAMAGES
from sklearn_iqt.exceptions import UntrustedModelError

torch = pytest.importorskip("torch")

from sklearn_iqt import DDLRegressor  # noqa: E402
from sklearn_iqt.deep._shards import MANIFEST, read_shards, write_shards  # noqa: E402

HIGH = 10 + np.random.default_rng(0).random((2, 8, 8, 16), dtype=np.float32)
LOW = HIGH.reshape(2, 8, 8, 4, 4).mean(axis=-1)


def net(folder, max_epochs=2):
    patches = {"patch_size": (8, 8, 2), "stride": (4, 4, 1), "background": 1.0, "batch_size": 4}
    lengths = {"max_epochs": max_epochs, "epoch_size": 4, "random_state": 0}
    return DDLRegressor(2, 1, checkpoint=folder, **patches, **lengths)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "state"
    net(folder).fit(LOW, HIGH)
    return folder


@pytest.fixture
def copied(original, tmp_path):
    return shutil.copytree(original, tmp_path / "state")


def sign(manifest):
    """Return the text of a manifest with the right checksum, as an attacker can write it."""
    manifest.pop("sha256", None)
    signed = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**manifest, "sha256": hashlib.sha256(signed).hexdigest()})


def test_every_flipped_bit_in_a_checkpoint_is_refused(original, copied):
    rng = np.random.default_rng(0)
    for path in sorted(copied.iterdir()):
        content = path.read_bytes()
        for position in rng.integers(len(content), size=60):
            changed = bytearray(content)
            changed[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            try:
                _, document = read_shards(copied)
            except UntrustedModelError:
                continue
            # Only white space between the entries of the manifest was changed.
            assert path.name == MANIFEST
            assert document == read_shards(original)[1]
        path.write_bytes(content)
    net(copied, max_epochs=3).fit(LOW, HIGH)


@pytest.mark.parametrize("entry", ["step", "stopped_by", "history", "fingerprint"])
def test_a_changed_entry_is_refused(entry, copied):
    manifest = json.loads((copied / MANIFEST).read_text())
    manifest["document"][entry] = "patience"
    (copied / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UntrustedModelError, match="checksum differs"):
        net(copied).fit(LOW, HIGH)


MANIFESTS = {
    "not JSON": "{",
    "a list": "[]",
    "deeply nested": "[" * 100_000,
    "a number of many digits": '{"version": ' + "9" * 5000 + "}",
    "half of a surrogate pair": '{"format": "\\ud800"}',
    "the same name twice": '{"version": 3, "version": 3}',
    "no text": "\x00",
    "the old version": json.dumps({"format": "sklearn-iqt checkpoint", "version": 2}),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_other_manifests_are_refused(case, copied):
    (copied / MANIFEST).write_text(MANIFESTS[case])
    with pytest.raises(UntrustedModelError, match=MANIFEST):
        net(copied).fit(LOW, HIGH)


SIGNED = {
    "no shards": {"shards": []},
    "shards of numbers": {"shards": [1, 2]},
    "shards that are text": {"shards": "a.shard"},
    "a shard in another folder": {"shards": ["../" + "0" * 64 + ".shard"]},
    "a shard with the path of a file": {"shards": ["/etc/passwd"]},
    "a shard that is missing": {"shards": ["0" * 64 + ".shard"]},
    "a document that is a list": {"document": []},
    "another entry": {"more": 1},
}


@pytest.mark.parametrize("case", SIGNED)
def test_manifests_with_a_right_checksum_are_checked(case, copied):
    manifest = json.loads((copied / MANIFEST).read_text())
    (copied / MANIFEST).write_text(sign({**manifest, **SIGNED[case]}))
    with pytest.raises(UntrustedModelError, match="hoose another folder"):
        net(copied).fit(LOW, HIGH)


def set_document(**changes):
    return lambda tensors, document: document.update(changes)


def set_tensor(name, value):
    def change(tensors, document):
        assert name in tensors
        tensors[name] = value

    return change


STATES = {
    "no step": lambda tensors, document: document.pop("step"),
    "no history": lambda tensors, document: document.pop("history"),
    "no end": lambda tensors, document: document.pop("stopped_by"),
    "a step that is text": set_document(step="1"),
    "a step that is true": set_document(step=True),
    "a step below zero": set_document(step=-1),
    "a history of numbers": set_document(history=[1]),
    "a history that is a number": set_document(history=3),
    "an end that is a list": set_document(stopped_by=[[]], history=None),
    "no tensors": lambda tensors, document: tensors.clear(),
    "a tensor without a group": lambda tensors, document: tensors.update(a=torch.zeros(1)),
    "a tensor in a third level": lambda t, d: t.update({"a/b/c": torch.zeros(1)}),
    "a random state of zeros": set_tensor("random/cpu", torch.zeros(7)),
    "a random state of floats": set_tensor("random/cpu", torch.zeros(5056)),
    "moments of another shape": set_tensor("optimizer0/exp_avg", torch.zeros(3, 5, 7)),
}


@pytest.mark.parametrize("case", STATES)
def test_states_that_do_not_fit_the_training_are_refused(case, copied):
    tensors, document = read_shards(copied)
    STATES[case](tensors, document)
    write_shards(copied, tensors, document)
    with pytest.raises(UntrustedModelError, match="does not fit this training"):
        net(copied).fit(LOW, HIGH)


def test_weights_of_other_shapes_are_refused(copied):
    tensors, document = read_shards(copied)
    # torch loads one number as a scalar.
    name = next(n for n, t in tensors.items() if n.startswith("module/") and t.ndim > 1)
    for changed in (torch.zeros(3), tensors[name][..., None]):
        write_shards(copied, {**tensors, name: changed}, document)
        with pytest.raises(UntrustedModelError, match="does not fit this training"):
            net(copied).fit(LOW, HIGH)


def test_another_training_is_refused(copied):
    with pytest.raises(ValueError, match="other parameters or volumes"):
        net(copied).set_params(lr=0.5).fit(LOW, HIGH)


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_checkpoints_are_refused(name, original, copied):
    rng = np.random.default_rng(list(DAMAGES).index(name))
    for path in sorted(copied.iterdir()):
        content = path.read_bytes()
        for _ in range(5):
            path.write_bytes(changed := DAMAGES[name](content, rng))
            if changed != content:
                with pytest.raises(UntrustedModelError):
                    read_shards(copied)
        path.write_bytes(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
@pytest.mark.parametrize("pattern", [MANIFEST, "*.shard"])
def test_a_named_pipe_does_not_block(pattern, copied):
    path = next(copied.glob(pattern))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        net(copied).fit(LOW, HIGH)
