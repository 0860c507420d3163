"""The program that attacks the readers of files finds no violation, and would notice one."""

import pytest

from benchmarks.attack import targets
from benchmarks.attack.__main__ import main
from benchmarks.attack.targets import TARGETS, VIOLATION, attack


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_attacks_find_no_violation(name, tmp_path, monkeypatch):
    if name == "checkpoints":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)  # commands may write files with relative names
    target = TARGETS[name](tmp_path)
    outcomes = [outcome for number in range(25) for outcome in attack(target, (0, number))]
    assert [outcome for outcome in outcomes if outcome.column == VIOLATION] == []
    assert len({outcome.column for outcome in outcomes}) >= 2


def test_unexpected_errors_and_wrong_voxels_are_violations(tmp_path, monkeypatch):
    target = TARGETS["scans"](tmp_path)
    original = target.scans[0][1]
    for reader in (lambda path: 1 / 0, lambda path: type("Image", (), {"dataobj": original + 1})):
        with monkeypatch.context() as patch:
            patch.setattr(targets, "load_volume", reader)
            outcomes = [o for n in range(10) for o in attack(target, (0, n))]
        assert any(outcome.column == VIOLATION for outcome in outcomes)


@pytest.mark.slow
def test_the_command_prints_a_table(tmp_path, capsys):
    arguments = ["--seconds", "2", "--targets", "scans", "--kept", str(tmp_path)]
    assert main(arguments) == 0
    assert "damaged `.nii.gz` and `.mgz`" in capsys.readouterr().out
