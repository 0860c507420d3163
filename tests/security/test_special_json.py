"""Pipes and other odd files in the place of sidecars neither block a command nor end it."""

import json
import os

import pytest

from sklearn_iqt.cli._fit import _read_sidecar
from sklearn_iqt.cli.bids._layout import read_json
from sklearn_iqt.io._open import read_json_file, read_small

SIDECAR = {"snr_wm": 10.0, "snr_gm": 8.0, "preset": "t1w_036t"}
BROKEN = {
    "empty": b"",
    "a list": b"[]",
    "not UTF-8": b"\xff\xfe{}",
    "deeply nested": b"[" * 10**5,
    "half of a surrogate pair": b'{"a": "\\ud800"}',
    "many digits": b'{"a": ' + b"9" * 5000 + b"}",
    "the same name twice": b'{"a": 1, "a": 2}',
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_sidecars_are_ignored(case, tmp_path):
    (tmp_path / "scan.json").write_bytes(BROKEN[case])
    assert read_json(tmp_path / "scan.json") == {}
    assert _read_sidecar(str(tmp_path / "scan.nii.gz")) == {}
    with pytest.raises(ValueError):  # noqa: PT011 - several messages
        read_json_file(tmp_path / "scan.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
def test_a_named_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "scan.json")
    assert read_json(tmp_path / "scan.json") == {}
    assert _read_sidecar(str(tmp_path / "scan.nii.gz")) == {}


def test_sidecars_are_read_with_and_without_a_byte_order_mark(tmp_path):
    for mark in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "scan.json").write_bytes(mark + json.dumps(SIDECAR).encode())
        assert read_json(tmp_path / "scan.json") == SIDECAR
        assert _read_sidecar(str(tmp_path / "scan.nii.gz")) == SIDECAR


def test_files_larger_than_a_limit_are_not_read(tmp_path):
    path = tmp_path / "large"
    with open(path, "wb") as stream:
        stream.truncate(2**40)  # without content on the disk
    with pytest.raises(ValueError, match="more than 100"):
        read_small(path, 100)
