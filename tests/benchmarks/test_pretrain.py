"""The training of the model that comes with the package can be interrupted and published."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from benchmarks import pretrain
from benchmarks.cohorts import write_embedded_cohort
from sklearn_iqt.persistence import _pretrained, list_pretrained, load_pretrained, read_model_card


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that runs the command on few small brains, and its folder."""
    data, output = tmp_path / "data", tmp_path / "output"
    lines = []
    for cohort in pretrain.COHORTS:
        write_embedded_cohort(data / cohort, 4, (48, 48, 48))
        table = data / cohort / "participants.tsv"
        lines += table.read_text().splitlines()[bool(lines) :]
        table.unlink()
        for labels in (data / pretrain.COHORTS[1]).glob("*_tissues.nii.gz"):
            labels.unlink()
    (data / "participants.tsv").write_text("\n".join(lines) + "\n")
    stages = (
        pretrain.Stage(1, 1e-3, batch_size=2, patch_size=16),
        pretrain.Stage(2, 1e-3, batch_size=2, patch_size=16),
    )
    monkeypatch.setattr(pretrain, "STAGES", stages)
    monkeypatch.setattr(pretrain.Validation, "SETS", ("wide",))

    def run(*options):
        common = ["--data", data, "--output", output, "--epoch-steps", 2]
        pretrain.main([str(part) for part in (*common, *options)])

    return run, output


def read_curve(output):
    with (output / "curve.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Interrupted(Exception):
    """The process was killed."""


def test_a_training_that_was_killed_continues_and_is_published(command, tmp_path, monkeypatch):
    run, output = command
    validate = pretrain.Validation.on_epoch_end

    def killed(self, net, **kwargs):
        validate(self, net, **kwargs)
        if self.stage == 2 and len(net.history) == 2:
            raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(pretrain.Validation, "on_epoch_end", killed)
        with pytest.raises(Interrupted):
            run("--stages", 2)
    before = read_curve(output)
    run("--finish")
    notes = read_model_card(output / "stage2-so-far.iqt").training.notes
    assert notes["epochs of the last stage"] == 1
    assert [(row["stage"], row["step"]) for row in before] == [("1.0", "2.0"), *PLACES]
    run("--stages", 2)
    after = read_curve(output)
    compared = ("stage", "step", "wide mean", "wide worst")
    assert [[r[c] for c in compared] for r in after] == [[r[c] for c in compared] for r in before]
    assert (output / "curve.png").stat().st_size > 1000
    assert len(json.loads((output / "recipe.json").read_text())["runs"]) == 3

    run("--evaluate", "--subjects", 1, "--sets", "ind1")
    monkeypatch.setattr(pretrain, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(_pretrained, "FOLDER", tmp_path / "shipped")
    run("--publish")
    (card,) = list_pretrained().values()
    assert card.license == "CC0-1.0"
    assert card.scores.keys() >= {"NRMSE after gain, ind1, interpolation"}
    model = load_pretrained(pretrain.NAME)
    assert model.voxel_range_.tolist() == [[0.8, 2.0], [1.8, 7.5]]
    assert model.estimator_.max_steps == pretrain.FINE_TUNING["max_steps"]
    assert model.estimator_.average_flips


PLACES = [("2.0", "2.0"), ("2.0", "4.0")]
