"""Writing a file replaces it completely or not at all, and leaves no other files."""

import errno
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

from sklearn_iqt.io import load_volume, replaced_file, save_volume

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
needs_links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")

KILLED = """
import os
from sklearn_iqt.io import replaced_file
with replaced_file(%r) as first, replaced_file(%r) as second:
    first.write(b"first")
    second.write(b"second")
    os._exit(9)
"""


def test_the_next_write_removes_the_files_of_writes_that_were_killed(tmp_path):
    target, other = tmp_path / "model.iqt", tmp_path / "other.iqt"
    target.write_bytes(b"old")
    for paths in ((target, target), (target, other)):
        subprocess.run([sys.executable, "-c", KILLED % tuple(map(str, paths))], check=False)
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.glob(".*.part"))) == 2
    with replaced_file(target) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new"
    # The file of the other target stays until that target is written.
    assert len(list(tmp_path.glob(".*.part"))) == 1
    with replaced_file(other) as stream:
        stream.write(b"new")
    assert sorted(tmp_path.iterdir()) == [target, other]


def test_files_of_writes_that_are_running_are_kept(tmp_path):
    target = tmp_path / "model.iqt"
    with replaced_file(target) as first:
        first.write(b"first")
        with replaced_file(target) as second:
            second.write(b"second")
        assert target.read_bytes() == b"second"
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def write_often(path):
    for number in range(100):
        with replaced_file(path) as stream:
            stream.write(bytes([number]) * 1000)


@pytest.mark.processes
def test_processes_that_write_the_same_file_do_not_disturb_each_other(tmp_path):
    target = tmp_path / "model.iqt"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(write_often, [target] * 3)
    content = target.read_bytes()
    assert content == content[:1] * 1000
    assert list(tmp_path.iterdir()) == [target]


def test_a_disk_that_is_full_keeps_the_old_file(tmp_path, monkeypatch):
    path = save_volume(np.ones((2, 3, 4)), tmp_path / "scan.nii")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_volume(np.zeros((2, 3, 4)), path)
    assert load_volume(path).dataobj[0, 0, 0] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
def test_devices_are_not_replaced(device, tmp_path):
    link = tmp_path / "scan.nii"
    link.symlink_to(device)
    with pytest.raises(OSError, match="not a regular file"):
        save_volume(np.ones((2, 3, 4)), link)
    assert link.is_symlink()
    assert not os.path.isfile(device)


@needs_pipes
def test_pipes_are_not_replaced(tmp_path):
    pipe = tmp_path / "scan.nii"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        save_volume(np.ones((2, 3, 4)), pipe)
    assert list(tmp_path.iterdir()) == [pipe]


@needs_links
def test_links_that_form_a_loop_are_not_replaced(tmp_path):
    first, second = tmp_path / "first.nii", tmp_path / "second.nii"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(OSError, match="not a regular file"):
        save_volume(np.ones((2, 3, 4)), first)
    assert first.is_symlink()
    assert second.is_symlink()


@needs_links
def test_links_are_followed_also_to_a_file_that_does_not_exist_yet(tmp_path):
    (tmp_path / "data").mkdir()
    link = tmp_path / "scan.nii"
    link.symlink_to(tmp_path / "data" / "real.nii")
    for value in (1, 2):
        save_volume(np.full((2, 3, 4), value), link)
        assert link.is_symlink()
        assert load_volume(tmp_path / "data" / "real.nii").dataobj[0, 0, 0] == value


def test_names_of_the_greatest_length_are_written(tmp_path):
    path = save_volume(np.ones((2, 3, 4)), tmp_path / ("n" * 251 + ".nii"))
    assert list(tmp_path.iterdir()) == [path]


@needs_pipes
def test_a_pipe_in_the_place_of_a_temporary_file_does_not_block(tmp_path):
    target = tmp_path / "model.iqt"
    with replaced_file(target) as stream:
        (part,) = tmp_path.glob(".*.part")
        stream.write(b"new")
    os.mkfifo(part)
    with replaced_file(target) as stream:
        stream.write(b"newer")
    assert target.read_bytes() == b"newer"
