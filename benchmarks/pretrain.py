"""Train the model that comes with the package, on brains under CC0 alone.

    OMP_NUM_THREADS=1 python -m benchmarks.pretrain --data ../shared/data --output pretrain
    python -m benchmarks.pretrain --data ../shared/data --output pretrain --evaluate
    python -m benchmarks.pretrain --output pretrain --publish

The first command trains. It can be interrupted at any time, and continues after the last complete
epoch when it is started again. Training goes in stages, each of which starts from the weights of
the last one. ``--stages`` ends the training earlier. Training scans are drawn again in each epoch
from a wide distribution, on brains of 1 mm. After each epoch, scans of the validation subjects are
enhanced, and ``curve.csv`` and ``curve.png`` show their NRMSE after the best gain, relative to
interpolation.

``--finish`` writes the model of a stage that is not complete, without ending the stage.
``--evaluate`` measures the model on subjects of ds002748, by default the test subjects, on sets of
``benchmarks.paper.shifts``. ``--publish`` writes the model into the package, with its card.
``--fine-tune`` trains the published model further on three pairs of a cohort, and measures it on
test subjects of this cohort before and after.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from skorch.callbacks import Callback

from benchmarks.code import describe_code
from benchmarks.cohorts import crop_middle, load_cohort
from benchmarks.paper.pairs import write_json
from benchmarks.paper.shifts import SCALE, SETS, simulate_set
from benchmarks.tables import format_table
from sklearn_iqt import (
    AnisoUNetRegressor,
    AnyGridIQT,
    ContrastMatchingIQT,
    InterpolationIQT,
    LowFieldSimulator,
    load_model,
    save_model,
)
from sklearn_iqt._fitted_params import remember_params
from sklearn_iqt.deep._inference import Predictor
from sklearn_iqt.deep._validation import average_batch_norm
from sklearn_iqt.io import Cohort, load_volume, save_volume
from sklearn_iqt.metrics import coherence, nrmse
from sklearn_iqt.persistence import TrainingCard, load_pretrained, read_model_card
from sklearn_iqt.persistence._pretrained import FOLDER
from sklearn_iqt.preprocessing import intensity_scale, resample_to, resample_to_voxel_size
from sklearn_iqt.report import describe_scans
from sklearn_iqt.simulation import (
    SimulatedScans,
    SliceGeometry,
    estimate_tissue_maps,
    get_simulator,
    tissue_maps_from_labels,
)

NAME = "t1w_brain"
COHORTS = ("ds002748", "ds002748_more")
VOXEL_MM = 1.0
SEED = 20261128
# Steps of an epoch. New scans are drawn in each epoch, which takes a tenth of its time.
EPOCH_STEPS = 256
TEST_SETS = ("ind1", "ind2", "ulf_measured", "low_contrast", "noisy")
# Parameters of the published net, for users who call partial_fit with a few pairs.
FINE_TUNING = {"max_steps": 300, "lr": 1e-4, "lr_milestones": (0.5, 0.75)}


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Parameters
    ----------
    n_epochs : int
        Epochs.
    lr : float
        Learning rate at the start.
    batch_size : int
        Patches of a step.
    patch_size : int
        Voxels along each side of a patch.
    lr_milestones : tuple of float
        Parts of the stage after which the learning rate is halved.
    """

    n_epochs: int
    lr: float
    batch_size: int = 16
    patch_size: int = 32
    lr_milestones: tuple[float, ...] = ()


STAGES = (
    Stage(6, 1e-3),
    Stage(6, 5e-4, lr_milestones=(0.5, 0.75)),
    Stage(8, 5e-4, batch_size=5, patch_size=48, lr_milestones=(0.5, 0.75)),
    Stage(40, 5e-4, batch_size=5, patch_size=48, lr_milestones=(0.5, 0.75, 0.9)),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="folder with participants.tsv and the folders of the cohorts",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for everything written")
    parser.add_argument("--stages", type=int, default=len(STAGES), help="stages to train")
    parser.add_argument("--subjects", type=int, help="most subjects of each part, for a trial")
    parser.add_argument("--epoch-steps", type=int, default=EPOCH_STEPS, help="steps of an epoch")
    parser.add_argument(
        "--sets", nargs="+", choices=list(SETS), default=TEST_SETS, help="test sets to measure"
    )
    parser.add_argument(
        "--part", choices=("test", "validation"), default="test", help="subjects to measure"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--finish", action="store_true", help="write the model of a stage that is not complete"
    )
    what.add_argument("--evaluate", action="store_true", help="measure the model on test subjects")
    what.add_argument("--publish", action="store_true", help="write the model into the package")
    what.add_argument(
        "--fine-tune", metavar="COHORT", help="train the published model further on three pairs"
    )
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    if args.evaluate:
        evaluate(args)
    elif args.fine_tune:
        fine_tune(args)
    elif args.publish:
        publish(args)
    else:
        write_recipe(args, sys.argv[1:] if argv is None else argv)
        train(args)


def write_recipe(args: argparse.Namespace, argv: Sequence[str]) -> None:
    """Write down how the model is trained, once for each start of the command."""
    path = args.output / "recipe.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    command = shlex.join(["python", "-m", "benchmarks.pretrain", *argv])
    runs.append({"command": command, "commit": read_commit(), **describe_code()})
    stages = [vars(stage) for stage in STAGES]
    write_json(path, {"seed": SEED, "stages": stages, "runs": runs})


def list_commits(output: Path) -> str:
    """Return the commits that parts of the training were run with, without repetitions."""
    runs = json.loads((output / "recipe.json").read_text())["runs"]
    return ", ".join(dict.fromkeys(run["commit"] for run in runs))


def read_commit() -> str:
    """Return the commit of the source code, with a mark if files were changed since."""
    where = Path(__file__).parent
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=where, capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"],
        cwd=where,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return commit + " with changes" * bool(changed)


# Brains.


@dataclass(frozen=True)
class Brains:
    """Files of the brains of one part, on voxels of 1 mm.

    Parameters
    ----------
    images, tissues : list of Path
        The volume and the three soft maps of each subject.
    """

    images: list[Path]
    tissues: list[Path]

    def maps(self) -> list[np.ndarray]:
        """Read the soft maps of CSF, GM and WM."""
        return [np.load(path).astype(np.float32) / 255 for path in self.tissues]


def prepare_brains(args: argparse.Namespace, part: str) -> Brains:
    """Resample the brains of a part to 1 mm, once, and return their files."""
    folder = args.output / "brains"
    folder.mkdir(exist_ok=True)
    with (args.data / "participants.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == part]
    chosen = [(row["cohort"], row["subject"]) for row in rows if row["cohort"] in COHORTS]
    brains = Brains([], [])
    for cohort, subject in chosen[: args.subjects]:
        image = folder / f"{cohort}_{subject}_T1w.nii.gz"
        maps = folder / f"{cohort}_{subject}_maps.npy"
        if not maps.exists():
            _prepare_brain(args.data / cohort, subject, image, maps)
        brains.images.append(image)
        brains.tissues.append(maps)
    return brains


def _prepare_brain(cohort: Path, subject: str, image: Path, maps: Path) -> None:
    print(f"preparing {image.name}", flush=True)
    volume, labels = (
        load_volume(cohort / f"{subject}_T1w.nii.gz"),
        cohort / f"{subject}_tissues.nii.gz",
    )
    if labels.exists():
        soft = tissue_maps_from_labels(np.asanyarray(load_volume(labels).dataobj))
    else:
        soft = estimate_tissue_maps(volume, random_state=0)
    target = resample_to_voxel_size(volume, VOXEL_MM, order=3)
    fine = [
        resample_to(nibabel.Nifti1Image(m, volume.affine), target, order=1).get_fdata()
        for m in soft
    ]
    inside = np.clip(fine, 0, 1)
    brain = np.clip(inside.sum(axis=0), 0, 1)
    voxels = np.maximum(target.get_fdata(dtype=np.float32), 0) * brain
    save_volume(voxels.astype(np.float32), image, affine=target.affine)
    np.save(maps.with_suffix(".part.npy"), np.rint(255 * inside).astype(np.uint8))
    maps.with_suffix(".part.npy").rename(maps)


def wide_simulator() -> LowFieldSimulator:
    """Return the simulator of the training scans."""
    # The second axis of this cohort has no detail beyond 2 mm, so it cannot be the thick one.
    return get_simulator("wide", geometry=SliceGeometry(axes=(0, 2)))


# Training.


def train(args: argparse.Namespace) -> None:
    """Train all stages, or what is missing of them."""
    brains = prepare_brains(args, "train")
    scans = SimulatedScans(
        brains.images,
        brains.maps(),
        wide_simulator(),
        most_in_memory=len(brains.images),
        random_state=SEED,
    )
    watch = Validation(args)
    net: Any = None
    for number in range(args.stages):
        file = args.output / f"stage{number + 1}.iqt"
        if not file.exists():
            net = make_net(args, number, net)
            if args.finish:
                file = file.with_name(f"stage{number + 1}-so-far.iqt")
                net.set_params(max_epochs=1)  # the checkpoint has more, and all are kept
            watch.stage = number + 1
            net.set_params(callbacks=[("validation", watch)], verbose=1)
            net.fit(scans, scans.targets)
            card = describe(args, number, len(scans), net.n_iter_)
            save_model(wrap(net), file, training=card, overwrite=args.finish)
            if args.finish:
                break
        net = load_model(file).estimator_
    print(f"the training is complete; the model is {file}")


def make_net(args: argparse.Namespace, number: int, before: Any) -> Any:
    """Return the net of a stage, with the weights of the stage before."""
    stage = STAGES[number]
    net = AnisoUNetRegressor(24, 3, block_size=2) if before is None else before
    return net.set_params(
        scale=1,
        patch_size=stage.patch_size,
        stride=stage.patch_size // 4,
        background=0.7,
        max_epochs=stage.n_epochs,
        epoch_size=args.epoch_steps * stage.batch_size,
        batch_size=stage.batch_size,
        lr=stage.lr,
        lr_milestones=stage.lr_milestones,
        weight_average=0.998,
        warm_start=True,
        checkpoint=args.output / f"checkpoint{number + 1}",
        random_state=SEED + number,
    )


def wrap(net: Any) -> AnyGridIQT:
    """Return the net as a model for scans of any voxel size and direction of slices."""
    model = AnyGridIQT(net, slices="interpolate")
    model.estimator_ = net
    slices = wide_simulator().geometry
    along = [a + b for a, b in zip(slices.thickness, slices.gap, strict=True)]
    model.voxel_range_ = np.column_stack([slices.in_plane, along]).astype(float)
    return model


def describe(args: argparse.Namespace, number: int, n_pairs: int, n_epochs: int) -> TrainingCard:
    """Return the card of the model after a stage."""
    simulator = wide_simulator()
    slices = simulator.geometry
    recipe = json.loads((args.output / "recipe.json").read_text())
    return TrainingCard(
        method="unet",
        cohort="OpenNeuro ds002748 v1.0.5, adults at 3 T, simulated scans",
        license="CC0-1.0",
        n_pairs=n_pairs,
        scale=(1, 1, 1),
        spacing_low_mm=(VOXEL_MM,) * 3,
        spacing_high_mm=(VOXEL_MM,) * 3,
        thickness=slices.thickness,
        gap=slices.gap,
        noise=simulator.noise,
        tissues=("given", "estimated"),
        seed=SEED,
        date=recipe["runs"][-1]["date"][:10],
        intended_use="T1-weighted scans of the brain alone, with slices of 2 to 6.5 mm in any "
        "direction, of healthy adults; research use, not for diagnosis",
        limits=(
            "It was trained on simulated scans of healthy adults, and on no real low-field scan.",
            "It may remove, change or invent lesions and other small structures.",
            "It gives every scan the contrast of a T1-weighted scan at 3 T.",
            "Scans of children, of whole heads and of other contrasts were not in the training.",
        ),
        notes={
            "stages": [vars(stage) for stage in STAGES[: number + 1]],
            "steps of an epoch": args.epoch_steps,
            "epochs of the last stage": n_epochs,
        },
    )


# Validation while it trains.

# Scans of 1 x 1 x 4 mm, with the SNR of sets of the experiment of the paper.
_FIXED = {
    "csf": 1.0,
    "gamma": 1.0,
    "bias": 0.0,
    "noise": "gaussian",
    "background": "noise",
    "geometry": SliceGeometry((3, 3), (1, 1), (1, 1), (2,), ("gaussian",), phase=False),
}


class Validation(Callback):
    """Measure the net on scans of the validation subjects after each epoch.

    Parameters
    ----------
    args : Namespace
        Arguments of the command.
    """

    SETS = ("wide", "ind1", "ulf_measured")
    MOST_VOXELS = 96

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.stage = 0

    @cached_property
    def scans(self) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        """The middle of each scan in the unit of the net, and of its high volume, by set."""
        brains = prepare_brains(self.args, "validation")
        maps, found = brains.maps(), {}
        for name in self.SETS:
            simulator = wide_simulator()
            if name != "wide":
                simulator.set_params(snr=name, **_FIXED)
            scans = SimulatedScans(
                brains.images, maps, simulator, most_in_memory=1, random_state=SEED + 1
            )
            pairs = [(scans[n], scans.targets[n]) for n in range(len(scans))]
            found[name] = [
                tuple(
                    crop_middle(volume, [self.MOST_VOXELS] * 3).astype(np.float32)
                    for volume in (low / intensity_scale(low), high)
                )
                for low, high in pairs
            ]
        return found

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Add a row to the curve."""
        start = time.process_time()
        module = copy.deepcopy(net.module_)
        average = dict(net.callbacks_)["AnisoUNetRegressor.weight_average"]
        module.load_state_dict(average.weights)
        with torch.random.fork_rng():
            # As at the end of the training, so that the average is not judged by other statistics.
            average_batch_norm(
                module, kwargs["dataset_train"], net.batch_size, "cpu", SEED, len(net.history) - 1
            )
        predict = Predictor(module, np.dtype(np.float32), mixed_precision=False)
        row = {
            "stage": self.stage,
            "step": net.steps_done_,
            "loss": net.history[-1, "train_loss"],
            "seconds": net.history[-1, "dur"],
        }
        for name, pairs in self.scans.items():
            ratios = []
            for low, high in pairs:
                batch = low[None, None]
                result = predict(batch, batch)[0, 0]
                errors = [
                    nrmse(high, volume, mask=high > 0, match="gain") for volume in (result, low)
                ]
                ratios.append(errors[0] / errors[1])
            row |= {f"{name} mean": np.mean(ratios), f"{name} worst": np.max(ratios)}
        row["validation seconds"] = time.process_time() - start
        self._add({key: float(f"{value:.6g}") for key, value in row.items()})

    def _add(self, row: dict[str, float]) -> None:
        path = self.args.output / "curve.csv"
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        place = (row["stage"], row["step"])
        rows = [r for r in rows if (float(r["stage"]), float(r["step"])) < place]
        rows.append(row)
        part = path.with_suffix(".part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerows(rows)
        part.rename(path)
        print({key: value for key, value in row.items() if "worst" not in key}, flush=True)
        draw_curve(path)


def draw_curve(path: Path) -> None:
    """Draw the error of the validation scans against the steps, into a PNG beside the table."""
    from matplotlib.figure import Figure

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps, done, last = [], 0.0, 0.0
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before["stage"] != row["stage"]:
            done += last
        last = float(row["step"])
        steps.append(done + last)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in Validation.SETS:
        values = [[float(row[f"{name} {kind}"]) for row in rows] for kind in ("mean", "worst")]
        (line,) = axes.plot(steps, values[0], label=name)
        axes.plot(steps, values[1], ":", color=line.get_color())
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set(xlabel="steps", ylabel="NRMSE after gain, relative to interpolation")
    axes.legend(title="mean, and dotted the worst subject")
    figure.savefig(path.with_suffix(".png"), dpi=110)


# Test.


def evaluate(args: argparse.Namespace) -> None:
    """Measure the last complete stage on test subjects."""
    model = load_stage(args.output)
    cohort = load_cohort(args.data / COHORTS[0])
    subjects = cohort.split[args.part][: args.subjects]
    rows: list[dict[str, Any]] = []
    matching = ContrastMatchingIQT(scale=SCALE)
    pairs = [
        simulate_set("t1w_036t", *cohort.load(s), cohort=cohort.name, subject=s, seed=SEED)
        for s in cohort.split["train"]
    ]
    matching.fit([pair.low for pair in pairs], [pair.high for pair in pairs])
    for name in args.sets:
        for subject in subjects:
            pair = simulate_set(
                name, *cohort.load(subject), cohort=cohort.name, subject=subject, seed=SEED
            )
            results = {
                "interpolation": InterpolationIQT(scale=SCALE)
                .fit([pair.low])
                .predict([pair.low])[0],
                "tissue matching": matching.predict([pair.low])[0],
                NAME: model.set_params(grid=pair.high).predict([pair.low])[0],
            }
            brain = np.asarray(pair.high.dataobj) > 0
            for method, result in results.items():
                rows.append(
                    {
                        "set": name,
                        "subject": subject,
                        "method": method,
                        "NRMSE after gain": float(
                            nrmse(pair.high, result, mask=brain, match="gain")
                        ),
                        "coherence above Nyquist": float(
                            coherence(pair.high, result, scale=SCALE[2], axis=2, mask=brain)
                        ),
                    }
                )
                print(*rows[-1].values(), flush=True)
    found = {"part": args.part, "model": last_stage(args.output).name, **describe_code()}
    write_json(args.output / f"{args.part}.json", {**found, "rows": rows})
    print(evaluation_table(rows))


def evaluation_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the means over subjects, and in how many scans the model beats interpolation."""
    measures = ("NRMSE after gain", "coherence above Nyquist")
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        for measure in measures:
            values = {
                method: np.array(
                    [r[measure] for r in rows if r["set"] == name and r["method"] == method]
                )
                for method in methods
            }
            better = values[NAME] < values["interpolation"]
            wins = better if measure == measures[0] else ~better
            means = [f"{values[method].mean():.4f}" for method in methods]
            lines.append([name, measure, *means, f"{wins.sum()} of {len(wins)}"])
    return format_table(["set", "measure", *methods, "better than interpolation"], lines)


def load_stage(output: Path) -> AnyGridIQT:
    """Return the model of the last stage, as it is published."""
    model = load_model(last_stage(output))
    model.estimator_.set_params(average_flips=True)
    return model


def last_stage(output: Path) -> Path:
    """Return the file of the last stage, which may not be complete."""
    files = sorted(output.glob("stage*.iqt"))
    if not files:
        raise SystemExit(f"{output} holds no complete stage. Train first.")
    return files[-1]


def fine_tune(args: argparse.Namespace) -> None:
    """Train the published model further on three pairs of another cohort, and measure it there."""
    cohort = load_cohort(args.data / args.fine_tune)
    learned, seen = cohort.split["train"][:3], cohort.split["test"][: args.subjects]
    pairs = {
        (name, subject): simulate_set(
            name, *cohort.load(subject), cohort=cohort.name, subject=subject, seed=SEED
        )
        for name in args.sets
        for subject in (*learned, *seen)
    }
    for name in args.sets:
        model = load_pretrained(NAME)
        model.estimator_.set_params(random_state=SEED)
        lows, highs = zip(*(pairs[name, subject][:2] for subject in learned), strict=True)
        methods = {"interpolation": InterpolationIQT(scale=SCALE).fit(lows), "before": model}
        rows = [["set", "method", "NRMSE after gain", "coherence above Nyquist"]]
        for method in (*methods, "after"):
            start = time.process_time()
            if method == "after":
                model.partial_fit(lows, highs)
                print(f"{name}: {time.process_time() - start:.0f} processor s on {len(lows)} pairs")
            scores = []
            for subject in seen:
                low, high = pairs[name, subject][:2]
                if method != "interpolation":
                    model.set_params(grid=high)
                (result,) = methods.get(method, model).predict([low])
                brain = np.asarray(high.dataobj) > 0
                scores.append(
                    (
                        nrmse(high, result, mask=brain, match="gain"),
                        coherence(high, result, scale=SCALE[2], axis=2, mask=brain),
                    )
                )
            rows.append([name, method, *(f"{value:.4f}" for value in np.mean(scores, axis=0))])
        print(format_table(rows[0], rows[1:]), flush=True)


def measure_scans(args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Return the range of what a report measures in scans of the validation subjects."""
    brains = prepare_brains(args, "validation")
    slices = replace(wide_simulator().geometry, to_high_grid=False)
    simulator = wide_simulator().set_params(geometry=slices)
    scans = SimulatedScans(brains.images, brains.maps(), simulator, random_state=SEED + 2)
    found: dict[str, list[float]] = {}
    for draw in range(3):
        for n in range(len(scans)):
            drawn = scans.drawn(draw)
            image = nibabel.Nifti1Image(drawn[n], drawn.grid(n).affine)
            for name, (value, _) in describe_scans([image]).items():
                found.setdefault(name, []).append(value)
    return {
        name: tuple(float(f"{value:.4g}") for value in np.percentile(values, (2.5, 97.5)))
        for name, values in found.items()
    }


def publish(args: argparse.Namespace) -> None:
    """Write the model into the package, with its card and the results on test subjects."""
    output = args.output
    source = last_stage(output)
    rows = json.loads((output / "test.json").read_text())["rows"]
    card = read_model_card(source).training
    scores = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            values = [
                row["NRMSE after gain"]
                for row in rows
                if row["set"] == name and row["method"] == method
            ]
            scores[f"NRMSE after gain, {name}, {method}"] = round(float(np.mean(values)), 5)
    n_subjects = len({row["subject"] for row in rows})
    notes = {
        **card.notes,
        "scores": f"means of {n_subjects} test subjects of ds002748",
        "contrast, surface and SNR": "95 % of simulated scans of the validation subjects",
    }
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{NAME}.iqt"
    card = replace(
        card,
        scores=scores,
        notes=notes,
        recipe=f"python -m benchmarks.pretrain --stages {len(notes['stages'])}",
        commit=list_commits(output),
        **measure_scans(args),
    )
    model = load_stage(output)
    if getattr(model.estimator_, "training_scans_", None) is None:
        # The net comes from a version that did not describe its training scans.
        brains = prepare_brains(args, "train")
        scans = SimulatedScans(brains.images, brains.maps(), wide_simulator(), random_state=SEED)
        model.estimator_._describe_scans(Cohort(scans, caller="publish"), reset=True)
    model.estimator_.set_params(**FINE_TUNING)
    remember_params(model.estimator_)
    save_model(model, target, training=card, overwrite=True, half_precision=True)
    print(f"wrote {target}, {target.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
