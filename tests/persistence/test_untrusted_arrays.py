"""Changed arrays and sizes are refused before anything is computed with them."""

import numpy as np
import pytest
from safetensors.numpy import load

from benchmarks.attack.model_files import at, change, swap

ARRAYS = {
    "atoms of another length": ("dictionary_low_", lambda a: a[:, :-1], "projection_ has shape"),
    "another number of atoms": ("dictionary_low_", lambda a: a[:-1], "dictionary_high_ has shape"),
    "high atoms of another patch": ("dictionary_high_", lambda a: a[:, :-1], "dictionary_high_"),
    "projection of another patch": ("projection_", lambda a: a[:, :-1], "projection_ has shape"),
    "one dimension": ("dictionary_low_", lambda a: a[0], "dictionary_low_ has shape"),
    "no atoms": ("dictionary_low_", lambda a: a[:0], "dictionary_high_ has shape"),
    "integers": ("dictionary_low_", lambda a: a.astype(np.int32), "not an array of floats"),
    "half": ("dictionary_low_", lambda a: a.astype(np.float16), "not an array of floats"),
    "NaN": ("dictionary_high_", lambda a: a * np.nan, "NaN"),
    "infinite": ("projection_", lambda a: a / 0.0, "infinite"),
}


@pytest.mark.parametrize("attack", ARRAYS)
def test_inconsistent_arrays_are_refused(attack, genuine, refused):
    name, edit, match = ARRAYS[attack]
    with np.errstate(all="ignore"):
        changed = edit(load(genuine["srep"])[name])
    refused(swap(genuine["srep"], **{name: np.ascontiguousarray(changed)}), match)


@pytest.mark.parametrize("shape", [(10, 27), (108, 26), (27, 108), (1, 1)])
def test_weights_of_another_shape_are_refused(shape, genuine, refused):
    coef = np.zeros(shape, np.float32)
    # Where Ridge keeps its weights column by column, the file holds the transpose.
    if load(genuine["ridge"])["estimator_.coef_"].shape == (27, 108):
        coef = np.ascontiguousarray(coef.T)
    refused(swap(genuine["ridge"], **{"estimator_.coef_": coef}))


def test_too_many_atoms_are_refused(genuine, refused):
    n_atoms, arrays = 2**15 + 1, load(genuine["srep"])
    arrays["dictionary_low_"] = np.zeros((n_atoms, 1), np.float32)
    arrays["dictionary_high_"] = np.zeros((n_atoms, 27), np.float32)
    arrays["projection_"] = np.zeros((1, 27), np.float32)
    refused(swap(genuine["srep"], **arrays), "atoms are more than")


@pytest.mark.parametrize("name", ["n_jobs", "verbose", "memory"])
def test_parameters_of_the_session_are_refused(name, genuine, refused):
    refused(change(genuine["srep"], at("model", "params", name, value=40)), "cannot have the param")
