"""States of trainings in small files: whole or not at all, and damage is noticed."""

import contextlib
import json

import pytest
import torch

from sklearn_iqt.deep import _shards
from sklearn_iqt.deep._shards import MANIFEST, read_shards, write_shards
from sklearn_iqt.deep.modules import AnisoUNet

MIB = 2**20


def make_state(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {"weight": torch.rand(100, generator=generator), "step": torch.tensor(seed)}


def assert_holds(folder, tensors, document):
    read, said = read_shards(folder)
    assert said == document
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)


def test_a_net_of_more_than_16_mib_is_kept_in_smaller_files(tmp_path):
    """With the state of Adam too; one tensor alone is larger than a file."""
    state = AnisoUNet().state_dict()
    state["random"] = torch.get_rng_state()
    state["channels last"] = torch.rand(2, 3, 4, 4, 4).to(memory_format=torch.channels_last_3d)
    state["long"] = torch.rand(5 * MIB)
    write_shards(tmp_path, state, {"step": 1})
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert max(sizes) < 16 * MIB
    assert sum(sizes) > 50 * MIB
    assert_holds(tmp_path, state, {"step": 1})


def test_the_shards_together_are_a_safetensors_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_shards, "SHARD_BYTES", 64)
    write_shards(tmp_path, make_state(), {})
    names = json.loads((tmp_path / MANIFEST).read_text())["shards"]
    assert len(names) > 3
    whole = b"".join((tmp_path / name).read_bytes() for name in names)
    torch.testing.assert_close(_shards.parse_tensors(whole), make_state())


@pytest.mark.parametrize("writes", range(12))
def test_killed_while_writing_leaves_the_old_state_or_the_new(tmp_path, monkeypatch, writes):
    """Killed before any of the renames that make files appear, or the removal of old files."""
    monkeypatch.setattr(_shards, "SHARD_BYTES", 128)
    old, new = make_state(0), make_state(1)
    write_shards(tmp_path, old, {"step": 0})
    left = writes
    replaced_file, unlink = _shards.replaced_file, type(tmp_path).unlink

    class Killed(BaseException):
        pass

    def counted(function):
        def call(path, *args, **kwargs):
            nonlocal left
            if left == 0:
                path.with_name(".half.part").write_bytes(b"half")
                raise Killed
            left -= 1
            return function(path, *args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(_shards, "replaced_file", counted(replaced_file))
        patch.setattr(type(tmp_path), "unlink", counted(unlink))
        with contextlib.suppress(Killed):
            write_shards(tmp_path, new, {"step": 1})
    step = read_shards(tmp_path)[1]["step"]
    n_shards = len(json.loads((tmp_path / MANIFEST).read_text())["shards"])
    assert step == (writes > n_shards)
    assert_holds(tmp_path, (old, new)[step], {"step": step})
    # The next state also sweeps up what the killed one left.
    write_shards(tmp_path, new, {"step": 2})
    assert_holds(tmp_path, new, {"step": 2})
    assert len(list(tmp_path.iterdir())) == n_shards + 1


def test_numbers_that_are_not_finite_are_kept(tmp_path):
    write_shards(tmp_path, {}, {"losses": [float("inf"), -float("inf"), 1e300]})
    assert read_shards(tmp_path)[1] == {"losses": [float("inf"), -float("inf"), 1e300]}


def test_damage_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_shards, "SHARD_BYTES", 128)

    def written(name):
        write_shards(tmp_path / name, make_state(), {})
        return tmp_path / name, sorted((tmp_path / name).glob("*.shard"))[1]

    folder, shard = written("cut")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{shard.name}: its checksum differs"):
        read_shards(folder)
    folder, shard = written("flipped")
    shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    with pytest.raises(ValueError, match=f"{shard.name}: its checksum differs"):
        read_shards(folder)
    folder, shard = written("missing")
    shard.unlink()
    with pytest.raises(ValueError, match=f"{shard.name}: the file is missing"):
        read_shards(folder)
    folder, _ = written("manifest")
    for text in ("", "[]", '{"shards": 3'):
        (folder / MANIFEST).write_text(text)
        with pytest.raises(ValueError, match=f"{MANIFEST}: it cannot be read"):
            read_shards(folder)
    folder, _ = written("newer")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(ValueError, match="Continue with the version that wrote it"):
        read_shards(folder)
