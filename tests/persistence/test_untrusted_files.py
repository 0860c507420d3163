"""Damaged files and files of other programs are refused, and no code in them is run."""

import copy
import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from benchmarks.attack.model_files import join, split, swap
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence import load_model, read_model_card


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "a/../b", "..", "a\\b", "", "a" * 10 + "\0", "C:x", "~/x"]
)
def test_names_that_could_be_paths_are_refused(name, genuine, refused):
    refused(swap(genuine["ridge"], **{name: np.zeros(1)}), "not a valid name")


def test_an_additional_array_is_refused(genuine, refused):
    refused(swap(genuine["ridge"], extra=np.zeros(1)), "does not use the arrays")


def test_duplicate_names_are_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    text = json.dumps(header)
    entry = json.dumps(header["estimator_.intercept_"])
    twice = text[:-1] + f', "estimator_.intercept_": {entry}}}'
    refused(join(twice.encode(), body), "same name twice")
    document = header["__metadata__"]["sklearn_iqt"]
    header["__metadata__"]["sklearn_iqt"] = document[:-1] + ',"format":1}'
    refused(join(header, body), "same name twice")


@pytest.mark.parametrize("length", [0, 1, 2**22 + 1, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_is_too_long_is_refused(length, genuine, refused):
    refused(length.to_bytes(8, "little") + genuine["ridge"][8:], "not a model file|truncated")


def test_a_padded_header_that_is_too_long_is_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    refused(join(json.dumps(header).encode() + b" " * 2**22, body), "not a model file")


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [10**9, 10**9]},
        {"shape": [-1]},
        {"shape": "big"},
        {"shape": [[1]]},
        {"dtype": "F64"},
        {"dtype": "BF16"},
        {"dtype": "O"},
        {"dtype": None},
        {"data_offsets": [0, 2**40]},
        {"data_offsets": [4, 0]},
        {"data_offsets": [0]},
        {"data_offsets": [0, 8]},
    ],
)
def test_false_descriptions_of_an_array_are_refused(entry, genuine, refused):
    header, body = split(genuine["ridge"])
    header["estimator_.intercept_"] = {**header["estimator_.intercept_"], **entry}
    refused(join(header, body), "damaged|unknown type")


def test_overlapping_arrays_are_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    header["estimator_.coef_"] = copy.deepcopy(header["estimator_.intercept_"])
    refused(join(header, body), "damaged")


@pytest.mark.parametrize("part", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(part, genuine, refused):
    refused(genuine["ridge"][:part])


def test_appended_bytes_are_refused(genuine, refused):
    refused(genuine["ridge"] + b"\0" * 16, "damaged")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_pickle_is_refused_and_not_run(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(pickle.dumps(Bomb()))
    header = json.dumps({"__metadata__": {"sklearn_iqt": pickle.dumps(Bomb()).hex()}}).encode()
    refused(join(header, b""), "not valid JSON")
    assert not (tmp_path / "exploded").exists()


def test_files_from_other_programs_are_refused(refused):
    refused(save({"weight": np.zeros(3)}), "metadata is missing")
    refused(save({"weight": np.zeros(3)}, metadata={"format": "pt"}), "metadata is missing")
    refused(b"PK\3\4" + bytes(100))
    refused(b"\x93NUMPY" + bytes(100))


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b"null", b'"x"', b"{" * 50, b"\xff\xfe", b"[" * 90_000]
)
def test_invalid_headers_are_refused(text, refused):
    refused(join(text.ljust(2), b""))


def test_deep_json_in_the_document_is_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    for opening in ("[", '{"a":'):
        header["__metadata__"]["sklearn_iqt"] = opening * 100_000
        refused(join(header, body))


def test_devices_and_folders_are_refused(tmp_path):
    with pytest.raises(OSError, match="not a regular file"):
        load_model("/dev/zero")
    with pytest.raises(OSError, match="directory"):
        load_model(tmp_path)


def test_the_card_refuses_other_files(tmp_path):
    path = tmp_path / "model.iqt"
    for content in (b"", b"junk" * 100, save({"weight": np.zeros(3)})):
        path.write_bytes(content)
        with pytest.raises(UntrustedModelError, match="read_model_card"):
            read_model_card(path)


# The examples of hypothesis share the fixtures.
SHARED_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=150, suppress_health_check=SHARED_FIXTURES)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(refused, content):
    refused(content)
