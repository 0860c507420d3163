"""The command ``demo``: all steps from brains to enhanced scans, without input files."""

from __future__ import annotations

import argparse
import importlib.util
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn_iqt.cli._common import add_command, check_outputs, format_table, say, write_text

if TYPE_CHECKING:
    from sklearn_iqt.persistence import TrainingCard

_EPILOG = """\
Brains are random warps of the ICBM152 template, which is part of nilearn. Nothing is downloaded.
A third of the brains, and at least one, is held out for testing. Low-field scans with slices four
times as thick are simulated. Training scans have the signal-to-noise ratios of a 0.36 T scanner,
and test scans have ratios from the centre of the same distribution. The table compares cubic
interpolation, interpolation followed by one intensity curve, and coupled dictionaries (IQT-SRep)
inside the held-out brains. The curve changes contrast alone, so the step from the curve to IQT-SRep
is detail. If torch is installed, the models of the package, which have never seen these brains,
enhance the test scans as well.

files in the output folder: the low scan, the interpolation, the result of the curve, the
enhancements and the truth of each held-out subject; the model; the table; and a figure of the first
held-out subject, in a coronal plane, which contains the thick axis.

examples:
  sklearn-iqt demo
  sklearn-iqt demo --output /tmp/demo --subjects 9 --seed 1 --force
"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "demo", run, "show all steps on brains made from a template", _EPILOG
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="folder for the results (default: demo_output)",
    )
    parser.add_argument(
        "--subjects", type=int, default=6, help="number of brains, at least 2 (default: 6)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the brains (default: 1)")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        default=[160, 192, 160],
        metavar=("I", "J", "K"),
        help="size of the volumes in mm; smaller volumes show the centre of the brain and are "
        "faster (default: 160 192 160, the whole brain)",
    )
    parser.add_argument("--jobs", type=int, default=-1, help="threads (default: -1, all cores)")


def run(args: argparse.Namespace) -> int:
    """Make brains, simulate scans, fit, enhance, evaluate and write the results."""
    from sklearn_iqt.compose import IntensityCurveIQT, InterpolationIQT
    from sklearn_iqt.datasets import make_subjects
    from sklearn_iqt.io import save_volume
    from sklearn_iqt.metrics._table import MEASURES, format_csv
    from sklearn_iqt.persistence import save_model

    if args.subjects < 2:
        raise ValueError(
            f"--subjects must be at least 2, to train and to test, got {args.subjects}"
        )
    start = time.perf_counter()
    n_train = args.subjects - max(args.subjects // 3, 1)
    held_out = [f"sub-{n + 1:02d}" for n in range(n_train, args.subjects)]
    pretrained = _usable_pretrained()
    kinds = ("low", "interpolated", "curve", "enhanced", *pretrained, "truth")
    files = {
        (name, kind): args.output / f"{name}_{kind}.nii.gz" for name in held_out for kind in kinds
    }
    model_file, table_file, figure_file = (
        args.output / name for name in ("model.iqt", "scores.csv", "demo.png")
    )
    check_outputs([*files.values(), model_file, table_file, figure_file], [], args.force)

    say(args, f"making {args.subjects} brains, {n_train} of them for training")
    subjects = make_subjects(
        args.subjects, shape=args.shape, random_state=args.seed, n_jobs=args.jobs
    )
    training, testing = _simulate(subjects, n_train, args.seed)

    say(args, "learning coupled dictionaries")
    model = _make_model(args)
    methods = {
        "interpolation": InterpolationIQT(),
        "intensity curve": IntensityCurveIQT(random_state=args.seed),
        "IQT-SRep": model,
    }
    estimates = {
        name: method.fit(training.low, training.high).predict(testing.low)
        for name, method in methods.items()
    }
    for name in pretrained:
        say(args, f"enhancing with the model {name} of the package, which has seen other brains")
        estimates[name] = _enhance_pretrained(name, testing)

    say(args, "evaluating and writing the results")
    for n, subject in enumerate(held_out):
        images = (testing.low[n], *(volumes[n] for volumes in estimates.values()), testing.high[n])
        for kind, image in zip(kinds, images, strict=True):
            save_volume(image, files[subject, kind])
    _draw(args, testing, estimates, subjects.affine).savefig(figure_file, dpi=110)
    rows = _score(testing.high, estimates, held_out)
    write_text(table_file, format_csv(rows))
    learned = rows[list(estimates).index("IQT-SRep") - len(estimates)]  # among the means
    scores = {name: learned[name] for name in MEASURES}
    card = _describe(args, n_train, training.snr, scores)
    save_model(model, model_file, training=card, overwrite=args.force)
    print(format_table(rows))
    say(
        args,
        f"{figure_file} and {len(files) + 2} more files in {time.perf_counter() - start:.0f} s",
    )
    return 0


def _simulate(subjects: Any, n_train: int, seed: int) -> tuple[Any, Any]:
    """Return the training pairs and the test pairs, whose SNRs have different distributions."""
    from sklearn_iqt.simulation import LowFieldSimulator

    train, test = slice(n_train), slice(n_train, None)
    simulator = LowFieldSimulator("t1w_036t", random_state=seed)
    training = simulator.simulate(subjects.images[train], subjects.tissues[train])
    simulator.set_params(snr="ind1", random_state=seed + 1)
    return training, simulator.simulate(subjects.images[test], subjects.tissues[test])


def _make_model(args: argparse.Namespace) -> Any:
    """Return the unfitted model.

    Its parameters were chosen on the brains of seed 0. The default seed makes other brains.
    """
    from sklearn_iqt.dictionary import CoupledDictionaryIQT
    from sklearn_iqt.patches import PatchTransformer

    return CoupledDictionaryIQT(
        n_atoms=512,
        alpha=0.1,
        # A patch covers two of the thick slices.
        patcher=PatchTransformer(patch_size=(5, 5, 9), stride=(2, 2, 4)),
        # Gradients alone cannot distinguish tissues whose contrast the low field has changed.
        features="both",
        n_components=0.99,
        max_patches=60_000,
        n_jobs=args.jobs,
        random_state=args.seed,
        verbose=int(not args.quiet),
    )


def _usable_pretrained() -> tuple[str, ...]:
    """Return the models of the package, or none if torch is not installed."""
    from sklearn_iqt.persistence import list_pretrained

    usable = all(importlib.util.find_spec(module) for module in ("torch", "skorch"))
    return tuple(list_pretrained()) if usable else ()


def _enhance_pretrained(name: str, testing: Any) -> list[Any]:
    """Return the test scans, enhanced by a model of the package on the grids of their truths."""
    from sklearn_iqt.persistence import load_pretrained

    model = load_pretrained(name)
    return [
        model.set_params(grid=truth).predict([scan])[0]
        for scan, truth in zip(testing.low, testing.high, strict=True)
    ]


def _score(truths: Any, estimates: dict[str, Any], subjects: list[str]) -> list[dict[str, Any]]:
    """Return the scores inside the brains, with the means in the last rows."""
    import numpy as np

    from sklearn_iqt.metrics import mean_scores, score_table

    brains = [np.asarray(truth.dataobj) > 0 for truth in truths]
    rows = score_table(truths, estimates, mask=brains, subjects=subjects)
    means = [{**mean, "subject": "mean"} for mean in mean_scores(rows)]
    return rows + [{name: mean[name] for name in rows[0]} for mean in means]


def _draw(args: argparse.Namespace, testing: Any, estimates: dict[str, Any], affine: Any) -> Any:
    """Return a figure of the first held-out subject."""
    import numpy as np
    from nibabel.affines import apply_affine

    from sklearn_iqt.plotting import plot_comparison

    centre = (np.array(args.shape) - 1) / 2
    return plot_comparison(
        {
            "low field, 4 mm slices": testing.low[0],
            **{method: volumes[0] for method, volumes in estimates.items()},
        },
        truth=testing.high[0],
        # Slices are thick from inferior to superior, and this plane shows their thickness.
        views=("coronal",),
        position=apply_affine(affine, centre),
        height=2.8,
    )


def _describe(args: argparse.Namespace, n_train: int, snr: Any, scores: dict) -> TrainingCard:
    from sklearn_iqt.persistence import TrainingCard

    return TrainingCard(
        method="srep",
        cohort="warped ICBM152 template; not for patients",
        n_pairs=n_train,
        scale=(1, 1, 4),
        alignment="center",
        spacing_low_mm=(1.0, 1.0, 4.0),
        spacing_high_mm=(1.0, 1.0, 1.0),
        snr_presets=("t1w_036t",),
        snr_wm=(snr[:, 0].min(), snr[:, 0].max()),
        snr_gm=(snr[:, 1].min(), snr[:, 1].max()),
        thickness=(3.0,),
        gap=(1.0,),
        noise=("gaussian",),
        tissues=("given",),
        scores=scores,
        seed=args.seed,
        date=datetime.now(timezone.utc).date().isoformat(),
    )
