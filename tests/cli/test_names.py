"""Subjects and methods get the names that a reader would give them."""

from __future__ import annotations

import pytest

from sklearn_iqt.cli._names import name_methods, name_subjects


@pytest.mark.parametrize(
    ("truths", "names"),
    [
        (["a/sub-01_T1w_high.nii.gz", "a/sub-02_T1w_high.nii.gz"], ["sub-01", "sub-02"]),
        (["a/sub-01_ses-1_T1w.nii", "a/sub-01_ses-2_T1w.nii"], ["sub-01", "sub-01"]),
        (["anna_high.nii.gz", "hanna_high.nii.gz"], ["anna", "hanna"]),
        (["s1_T1w.nii", "s11_T1w.nii"], ["s1", "s11"]),
        (["anna/t1.nii", "bert/t1.nii"], ["anna", "bert"]),
        (["scan.nii.gz"], ["scan"]),
        (["a_high.nii.gz"], ["a_high"]),
        (["caf\udce9.nii", "b.nii"], ["caf\udce9", "b"]),
        (["x/a.nii", "y/a.nii", "x/b.nii"], ["x/a.nii", "y/a.nii", "x/b.nii"]),
    ],
)
def test_subjects(truths, names):
    assert name_subjects(truths) == names


@pytest.mark.parametrize(
    ("estimates", "names"),
    [
        ([["cubic/a.nii", "cubic/b.nii"], ["srep/a.nii", "srep/b.nii"]], ["cubic", "srep"]),
        ([["one/sub-1/anat/a.nii"], ["two/sub-1/anat/a.nii"]], ["one", "two"]),
        ([["one/sub-1/a.nii", "one/sub-2/b.nii"], ["two/c.nii"]], ["one", "two"]),
        ([["a_cubic.nii", "b_cubic.nii"], ["a_srep.nii", "b_srep.nii"]], ["cubic", "srep"]),
        ([["out/a_enhanced.nii.gz", "out/b_enhanced.nii.gz"]], ["enhanced"]),
        ([["a_cubic.nii"], ["a_srep.nii"]], ["a_cubic", "a_srep"]),
        ([["a.nii", "b.nii"], ["c.nii", "d.nii"]], ["1", "2"]),
    ],
)
def test_methods(estimates, names):
    assert name_methods(estimates) == names
