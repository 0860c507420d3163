"""Cohorts of files: one scale for all, names, records, and runs that go on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from made_scans import scan_thickly

from sklearn_iqt import InterpolationIQT, __version__
from sklearn_iqt.cli import main
from sklearn_iqt.exceptions import GeometryMismatchError, VolumeReadError
from sklearn_iqt.io import Cohort, load_volume
from sklearn_iqt.prepare import prepare_pair, prepare_pairs


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_two_folders_become_pairs_for_fit(files, tmp_path):
    cohort = prepare_pairs(*files, tmp_path / "pairs")
    assert names(tmp_path / "pairs") == sorted(
        f"sub-{n}_low_{end}"
        for n in range(2)
        for end in ("low.nii.gz", "high.nii.gz", "mask.nii.gz", "prepare.json")
    )
    assert cohort.scale == (1, 1, 5)
    assert len(Cohort(cohort.low, cohort.high, cohort.mask, scale=cohort.scale)) == 2
    model = InterpolationIQT(scale=cohort.scale).fit(cohort.low, cohort.high, mask=cohort.mask)
    assert model.predict(cohort.low)[1].shape == load_volume(cohort.high[1]).shape


def test_files_and_images_give_the_same_pair(files, tmp_path):
    cohort = prepare_pairs(*files, tmp_path / "pairs")
    pair = prepare_pair(files[0][0], files[1][0])
    np.testing.assert_array_equal(load_volume(cohort.low[0]).dataobj, pair.low.dataobj)
    np.testing.assert_array_equal(load_volume(cohort.high[0]).dataobj, pair.high.dataobj)
    np.testing.assert_allclose(load_volume(cohort.high[0]).affine, pair.high.affine, atol=1e-4)
    assert cohort.records[0] == pair.record
    images = [[nibabel.load(path) for path in paths] for paths in files]
    again = prepare_pairs(*images, tmp_path / "again", names=["a", "b"])
    assert again.low[1].read_bytes() == cohort.low[1].read_bytes()
    assert again.records[1]["low"]["file"] is None


def test_the_record_names_scans_parameters_and_steps(files, tmp_path):
    prepare_pairs(*files, tmp_path / "pairs", margin_mm=3)
    text = (tmp_path / "pairs" / "sub-1_low_prepare.json").read_text()
    assert str(tmp_path) not in text
    record = json.loads(text)
    assert record["software"]["sklearn-iqt"] == __version__
    assert record["low"] == {
        "file": "sub-1_low.nii.gz",
        "sha256": hashlib.sha256(Path(files[0][1]).read_bytes()).hexdigest(),
        "shape": list(nibabel.load(files[0][1]).shape),
        "voxel_size_mm": pytest.approx([1.6, 1.6, 5.0]),
        "orientation": "LPI",
    }
    assert record["high"]["orientation"] == "RAS"
    assert record["parameters"] == {
        "orientation": "RAS",
        "thick_axis": "S",
        "scale": [1, 1, 5],
        "voxel_size_mm": pytest.approx([1, 1, 1]),
        "register": False,
        "extract_brain": None,
        "correct_bias": False,
        "crop": True,
        "margin_mm": 3,
        "order": 3,
        "nan": "refuse",
    }
    steps = record["steps"]
    assert [name for name, step in steps.items() if step is None] == [
        "registration",
        "brain_extraction",
        "bias_correction",
    ]
    assert steps["low_resampling"]["voxel_size_mm"] == pytest.approx([1, 1, 5])
    assert steps["high_resampling"]["foreground_shared_percent"] > 95
    assert record["result"]["low_shape"] == list(
        load_volume(tmp_path / "pairs" / "sub-1_low_low.nii.gz").shape
    )


def test_all_pairs_get_the_scale_of_the_median(brains, tmp_path):
    low = [
        scan_thickly(high, size=(1.6, 1.6, t)) for high, t in zip(brains, (5.0, 4.6), strict=True)
    ]
    cohort = prepare_pairs(low, brains, tmp_path, names=["a", "b"])
    shapes = [
        (load_volume(low).shape, load_volume(high).shape)
        for low, high in zip(cohort.low, cohort.high, strict=True)
    ]
    assert all(high == (*low[:2], 5 * low[2]) for low, high in shapes)


# ---------------------------------------------------------------- again


def test_a_finished_pair_is_kept_and_an_interrupted_one_is_made_again(files, tmp_path, monkeypatch):
    folder = tmp_path / "pairs"
    prepare_pairs(*files, folder)
    before = contents(folder)
    (folder / "sub-1_low_mask.nii.gz").unlink()
    made = []
    from sklearn_iqt.prepare import _cohort

    make_pair = _cohort.make_pair
    monkeypatch.setattr(
        _cohort, "make_pair", lambda *args: made.append(args[3]) or make_pair(*args)
    )
    cohort = prepare_pairs(*files, folder)
    assert made == [1]
    assert contents(folder) == before
    assert [record["low"]["file"] for record in cohort.records] == [
        "sub-0_low.nii.gz",
        "sub-1_low.nii.gz",
    ]
    prepare_pairs(*files, folder, force=True)
    assert made == [1, 0, 1]
    assert contents(folder) == before


def test_pairs_of_other_parameters_or_scans_are_not_replaced_unless_forced(files, tmp_path):
    folder = tmp_path / "pairs"
    prepare_pairs(*files, folder)
    before = contents(folder)
    with pytest.raises(FileExistsError, match=r"sub-0_low_low\.nii\.gz exists.*force"):
        prepare_pairs(*files, folder, order=1)
    with pytest.raises(FileExistsError, match="other scans or with other parameters"):
        prepare_pairs(files[0][::-1], files[1][::-1], folder, names=["sub-0_low", "sub-1_low"])
    assert contents(folder) == before
    prepare_pairs(*files, folder, order=1, force=True)
    assert contents(folder) != before
    (folder / "sub-0_low_prepare.json").write_text("{")
    with pytest.raises(FileExistsError, match="exists"):
        prepare_pairs(*files, folder, order=1)


def test_a_failed_write_leaves_no_complete_looking_pair(files, tmp_path, monkeypatch):
    from sklearn_iqt.prepare import _pair

    folder = tmp_path / "pairs"
    save_volume = _pair.save_volume

    def fail(volume, path, **options):
        if "_high" in path.name:
            raise OSError("No space left on device")
        return save_volume(volume, path, **options)

    monkeypatch.setattr(_pair, "save_volume", fail)
    with pytest.raises(OSError, match="No space"):
        prepare_pairs(*files, folder)
    assert names(folder) == ["sub-0_low_low.nii.gz", "sub-0_low_prepare.json"]
    monkeypatch.undo()
    prepare_pairs(*files, folder)
    assert len(names(folder)) == 8


def test_brains_of_the_user_belong_to_the_inputs_of_a_pair(files, tmp_path, capsys):
    low, high = files
    masks = []
    for n, path in enumerate(high):
        image = nibabel.load(path)
        voxels = (image.get_fdata() > 0).astype(np.uint8)
        voxels[:, :10] = 0
        masks.append(str(tmp_path / f"sub-{n}_brain.nii.gz"))
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine), masks[-1])
    folder = tmp_path / "pairs"
    arguments = ["prepare", "--low", *low, "--high", *high, "--output-dir", folder]
    assert run(*arguments, "--mask", *masks) == 0
    before = contents(folder)
    cohort = prepare_pairs(low, high, folder, mask=masks)
    assert contents(folder) == before
    assert [record["mask"]["file"] for record in cohort.records] == [
        "sub-0_brain.nii.gz",
        "sub-1_brain.nii.gz",
    ]
    with pytest.raises(FileExistsError, match="other scans or with other parameters"):
        prepare_pairs(low, high, folder)
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), masks[0])
    with pytest.raises(FileExistsError, match="other scans or with other parameters"):
        prepare_pairs(low, high, folder, mask=masks)
    with pytest.raises(ValueError, match="low holds 2 scans but mask holds 1"):
        prepare_pairs(low, high, tmp_path / "new", mask=masks[:1])
    with pytest.raises(ValueError, match="is given twice"):
        prepare_pairs(low, high, tmp_path / "new", mask=[masks[0], masks[0]])
    assert not (tmp_path / "new").exists()
    assert contents(folder) == before


# ---------------------------------------------------------------- refusals


def test_mistakes_are_found_before_any_work(files, tmp_path):
    low, high = files
    folder = tmp_path / "pairs"
    with pytest.raises(ValueError, match="low holds 2 scans but high holds 1"):
        prepare_pairs(low, high[:1], folder)
    with pytest.raises(VolumeReadError, match="nowhere"):
        prepare_pairs(low, [high[0], str(tmp_path / "nowhere.nii.gz")], folder)
    with pytest.raises(ValueError, match="is given twice"):
        prepare_pairs(low, [high[0], high[0]], folder)
    with pytest.raises(ValueError, match="2 pairs but 1 names"):
        prepare_pairs(low, high, folder, names=["a"])
    with pytest.raises(ValueError, match="2 pairs would be written to a_low"):
        prepare_pairs(low, high, folder, names=["a", "a"])
    with pytest.raises(ValueError, match="without a folder"):
        prepare_pairs(low, high, folder, names=["a", "../b"])
    with pytest.raises(ValueError, match="Pass names"):
        prepare_pairs([nibabel.load(path) for path in low], high, folder)
    assert not folder.exists()


def test_an_input_is_never_overwritten(files):
    low, high = files
    folder = Path(low[0]).parent
    with pytest.raises(ValueError, match="is an input and would be overwritten"):
        prepare_pairs(low, high, folder, names=["sub-0", "sub-1"], force=True)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((1.6, 1.6, 7.0), r"low\[2\] has voxels of .*7 mm"),
        ((1.6, 5.0, 1.6), r"low\[2\] has thick coronal slices, but most .* thick axial slices"),
        ((1.6, 1.6, 1.6), r"low\[2\] has no thick slices, but most"),
        ((0.8, 0.8, 0.8), r"low\[2\] has no thick slices, but most"),
    ],
)
def test_a_low_scan_that_does_not_fit_into_the_cohort_is_named(brains, tmp_path, size, reason):
    low = [scan_thickly(brains[0]), scan_thickly(brains[1]), scan_thickly(brains[0], size=size)]
    high = [brains[0], brains[1], brains[0]]
    with pytest.raises(GeometryMismatchError, match=reason):
        prepare_pairs(low, high, tmp_path, names=list("abc"))
    assert names(tmp_path) == []


def test_a_high_scan_that_is_much_coarser_than_the_others_is_named(brains, tmp_path):
    low = [scan_thickly(brains[n]) for n in (0, 1, 0)]
    high = [brains[0], brains[1], scan_thickly(brains[0], size=(1.0, 1.0, 3.0))]
    with pytest.raises(GeometryMismatchError, match=r"high\[2\] has voxels of .* right scan"):
        prepare_pairs(low, high, tmp_path, names=list("abc"))


# ---------------------------------------------------------------- command


def test_the_command_writes_the_same_files(files, tmp_path, capsys):
    low, high = files
    prepare_pairs(low, high, tmp_path / "python", names=["a", "b"], scale=(2, 2, 5), margin_mm=2)
    arguments = ["prepare", "--low", *low, "--high", *high, "--names", "a", "b", "--scale", 2, 2, 5]
    arguments += ["--margin", 2, "--output-dir", tmp_path / "command"]
    assert run(*arguments) == 0
    assert contents(tmp_path / "command") == contents(tmp_path / "python")
    assert "wrote 2 pairs" in capsys.readouterr().err
    assert run(*arguments) == 0
    assert "kept 2 that were made before; axes RAS, fit them with --scale 2 2 5" in (
        capsys.readouterr().err
    )


def test_the_command_continues_with_the_next_pair_if_one_fails(files, tmp_path, capsys):
    low, high = files
    empty = tmp_path / "empty.nii.gz"
    image = nibabel.load(high[0])
    nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, "f4"), image.affine), empty)
    arguments = ["--low", *low, "--high", empty, high[1], "--output-dir", tmp_path / "pairs"]
    assert run("prepare", *arguments, "--voxel-size", 1, "--no-crop") == 1
    assert "empty.nii.gz: all voxels of the high scan are 0" in capsys.readouterr().err
    assert len(names(tmp_path / "pairs")) == 4


def test_the_command_names_files_that_do_not_fit_and_warns_of_two_people(files, tmp_path, capsys):
    low, high = files
    output = ["--output-dir", tmp_path / "pairs"]
    assert run("prepare", "--low", *high, "--high", *low, *output) == 2
    assert "sub-0_high.nii.gz has smaller voxels" in capsys.readouterr().err
    run("prepare", "--low", *low, "--high", *high[::-1], *output)
    assert "their names have different subjects" in capsys.readouterr().err
    assert run("prepare", "--low", *low, "--high", *high, *output, "--extract-brain", "x") == 2
