"""The command ``fit``: learn a model from pairs of scans."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn_iqt._methods import METHODS
from sklearn_iqt.cli._common import (
    add_command,
    add_grid,
    add_nan,
    check_outputs,
    say,
    stem,
)
from sklearn_iqt.cli._grids import check_grids
from sklearn_iqt.cli._imports import add_imports, import_modules

if TYPE_CHECKING:
    from sklearn_iqt.persistence import TrainingCard

_EPILOG = """\
The default sizes of {for_gpu} are made for a GPU. On a CPU, training takes hours or days.
The last example trains a smaller net. If a training will take long, its duration is estimated after
the first steps. With -p checkpoint=FOLDER, a training can be stopped, and the same command
continues it.

The methods interpolation and self-supervised need no --high.

A NAME is a parameter of the class in brackets, or PART__PARAMETER for one of its parts. A VALUE is
JSON, such as a number, true, null or [5, 5, 9]. Any other VALUE is text.

examples:
  sklearn-iqt fit --low pairs/*_low.nii.gz --high pairs/*_high.nii.gz --output srep.iqt
  sklearn-iqt fit --low a_low.nii.gz --high a_high.nii.gz --output srep.iqt \\
      -p n_atoms=512 -p alpha=0.05 -p patcher__patch_size=9 -p patcher__stride=4
  sklearn-iqt fit --low pairs/*_low.nii.gz --high pairs/*_high.nii.gz --standardize \\
      --output srep.iqt
  sklearn-iqt fit --low pairs/*_low.nii.gz --high pairs/*_high.nii.gz --calibrate 9 \\
      --subject-level 0.9 --output calibrated.iqt
  sklearn-iqt fit --low a_low.nii.gz --high a_high.nii.gz --method ridge \\
      -p estimator__alpha=10 --output ridge.iqt
  sklearn-iqt fit --low pairs/*_low.nii.gz --high pairs/*_high.nii.gz --method forest \\
      -p estimator__n_estimators=50 -p estimator__min_samples_leaf=5 --output forest.iqt
  sklearn-iqt fit --low pairs/*_low.nii.gz --high pairs/*_high.nii.gz --method unet \\
      -p n_filters=8 -p n_levels=4 -p max_steps=500 -p checkpoint=unet_state --output unet.iqt
"""
_METHODS = {method.command: method for method in METHODS if method.command}
_NUMBER = (int, float)


def _list_methods() -> str:
    width = max(map(len, _METHODS))
    return "methods:\n" + "".join(
        f"  {command:{width}}  {method.description} ({method.class_name}"
        + (f"; needs the extra [{method.extra}])\n" if method.extra else ")\n")
        for command, method in _METHODS.items()
    )


def add_parser(commands: Any) -> None:
    """Add the command."""
    for_gpu = " and ".join(name for name, method in _METHODS.items() if method.for_gpu)
    epilog = f"{_list_methods()}\n{_EPILOG.format(for_gpu=for_gpu)}"
    parser = add_command(commands, "fit", run, "learn a model from pairs of scans", epilog)
    parser.add_argument("--low", nargs="+", required=True, metavar="LOW", help="low-quality scans")
    parser.add_argument(
        "--high",
        nargs="+",
        default=[],
        metavar="HIGH",
        help="high-quality scans, in the order of LOW; not needed by some methods, see below",
    )
    parser.add_argument(
        "--mask", nargs="+", default=[], metavar="MASK", help="foreground of each LOW"
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="MODEL.iqt", help="file to write"
    )
    parser.add_argument(
        "--method",
        default="srep",
        metavar="METHOD",
        help="see below, or a class that --import registers (default: srep)",
    )
    add_imports(parser)
    parser.add_argument(
        "-p",
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of the method; repeat for each parameter",
    )
    parser.add_argument(
        "--standardize",
        action="store_true",
        help="first map intensities to the tissue contrast of the training scans (TissueScaler); "
        "for skull-stripped T1w scans",
    )
    intervals = parser.add_argument_group("intervals")
    intervals.add_argument(
        "--calibrate",
        type=int,
        default=0,
        metavar="N",
        help="learn from all but the last N pairs, and calibrate intervals for 'enhance "
        "--interval' on these; they must be of other subjects, one pair each",
    )
    intervals.add_argument(
        "--confidence-level",
        type=float,
        default=0.9,
        metavar="C",
        help="fraction of the voxels of a scan that the intervals contain (default: 0.9)",
    )
    intervals.add_argument(
        "--subject-level",
        type=float,
        default=0.8,
        metavar="P",
        help="probability that this holds for a new subject, at most N / (N + 1) (default: 0.8)",
    )
    add_grid(parser)
    add_nan(parser)
    parser.add_argument("--jobs", type=int, default=-1, help="threads (default: -1, all cores)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same model (default: 0)"
    )


def run(args: argparse.Namespace) -> int:
    """Fit a model and save it."""
    from sklearn.pipeline import make_pipeline

    from sklearn_iqt.base import enhancer_of
    from sklearn_iqt.base._routing import route_mask
    from sklearn_iqt.compose import ConformalIQT
    from sklearn_iqt.io import as_volumes
    from sklearn_iqt.patches import per_axis
    from sklearn_iqt.persistence import save_model
    from sklearn_iqt.preprocessing import TissueScaler
    from sklearn_iqt.report import describe_scans

    if args.output.suffix != ".iqt":
        raise ValueError(f"the name of the model file must end in .iqt, got {args.output}")
    model = make_model(args)
    alone = not (args.high or model._volume_tags.needs_target)
    if len(args.low) != len(args.high) and not alone:
        raise ValueError(
            f"got {len(args.low)} low scans and {len(args.high)} high scans. Give one high scan "
            "for each low scan, in the same order"
        )
    if args.mask and len(args.mask) != len(args.low):
        raise ValueError(
            f"got {len(args.mask)} masks for {len(args.low)} low scans. Give one for each, in the "
            "same order"
        )
    n_pairs = len(args.low) - args.calibrate
    if args.calibrate < 0 or n_pairs < 1 or (args.calibrate and not args.high):
        raise ValueError(
            f"--calibrate must leave pairs to learn from, got {args.calibrate} of {len(args.low)} "
            f"scans with {len(args.high)} high scans"
        )
    scale = per_axis(model.scale, "scale", args.method)
    check_grids(zip(args.low, args.high, strict=False), scale=scale, alignment=model.alignment)
    check_outputs([args.output], [*args.low, *args.high, *args.mask], args.force)
    card = _describe(args, model, scale)
    kind = "pair" if args.high else "scan"
    source = f"{n_pairs} {kind}{'s' if n_pairs > 1 else ''}"
    device = model._torch_device() if hasattr(model, "_torch_device") else None
    say(args, f"learning {args.method} from {source}" + (f" on {device}" if device else ""))
    if device == "cpu" and not args.param:
        say(
            args,
            f"the default size of {args.method} is made for a GPU. Training on a CPU takes hours "
            "or days. 'sklearn-iqt fit --help' has an example of a smaller net",
        )
    estimator: Any = make_pipeline(TissueScaler(), model) if args.standardize else model
    if args.calibrate:
        levels = {name: getattr(args, name) for name in ("confidence_level", "subject_level")}
        estimator = ConformalIQT(estimator, **levels)
        estimator.check_levels(args.calibrate)

    def volumes(part: slice) -> list[Any]:
        return [
            as_volumes(paths[part], name=name, caller="fit", nan=nan) if paths else None
            for name, paths, nan in (
                ("low", args.low, args.nan),
                ("high", args.high, args.nan),
                ("mask", args.mask, "refuse"),
            )
        ]

    low, high, mask = volumes(slice(n_pairs))
    with route_mask(mask):
        estimator.fit(low, high, **({} if mask is None else {"mask": mask}))
    if args.calibrate:
        say(args, f"calibrating on {args.calibrate} pairs")
        held_out_low, held_out_high, held_out_mask = volumes(slice(n_pairs, None))
        estimator.conformalize(held_out_low, held_out_high, mask=held_out_mask)
    # The ratios of simulated scans are known exactly.
    measured: dict[str, Any] = {
        name: span
        for name, span in describe_scans(low, mask).items()
        if getattr(card, name) is None
    }
    card = replace(card, orientation=enhancer_of(estimator, "fit").orientation_, **measured)
    save_model(estimator, args.output, training=card, overwrite=args.force)
    say(args, f"{args.output}: {args.method}, learned from {source}")
    return 0


def make_model(args: argparse.Namespace) -> Any:
    """Return the unfitted model with the parameters of the command line."""
    import_modules(args.imports)
    model = _unfitted(args.method)
    known = model.get_params()
    general = {
        "scale": tuple(args.scale),
        "alignment": args.alignment,
        "n_jobs": args.jobs,
        "estimator__n_jobs": args.jobs,
        "random_state": args.seed,
        "estimator__random_state": args.seed,
        "verbose": int(not args.quiet),
    }
    model.set_params(**{name: value for name, value in general.items() if name in known})
    params = dict(_parse_param(text) for text in args.param)
    for part in sorted({name.partition("__")[0] for name in params if "__" in name}):
        make_part = getattr(model, f"_default_{part}", None)
        if make_part is not None and getattr(model, part) is None:
            model.set_params(**{part: make_part()})
    model.set_params(**params)
    model._validate_params()  # fail before any scan is read
    return model


def _unfitted(name: str) -> Any:
    """Return an estimator of a method, or of a class that the user has registered."""
    from sklearn_iqt.persistence._registry import ESTIMATORS

    if name in _METHODS:
        method = _METHODS[name]
        return method.load()(**method.params())
    own = {known: source for known, source in ESTIMATORS.items() if isinstance(source, type)}
    if name not in own:
        raise ValueError(
            f"there is no method {name!r}. Choose from {', '.join([*_METHODS, *own])}, or pass "
            "--import MODULE for a class of your own"
        )
    return own[name]()


def _parse_param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"-p expects NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _describe(args: argparse.Namespace, model: Any, scale: tuple[int, ...]) -> TrainingCard:
    """Return the training card. It has no file names, because they may identify subjects."""
    from nibabel.affines import voxel_sizes

    from sklearn_iqt.io import read_geometry
    from sklearn_iqt.persistence import TrainingCard

    def spacing(path: str) -> tuple[float, ...]:
        return tuple(round(float(size), 4) for size in voxel_sizes(read_geometry(path)[1]))

    return TrainingCard(
        method=args.method,
        standardized=args.standardize,
        n_pairs=(len(args.high) - args.calibrate) or None,
        notes={"calibration_pairs": args.calibrate} if args.calibrate else None,
        scale=scale,
        alignment=model.alignment,
        spacing_low_mm=spacing(args.low[0]),
        spacing_high_mm=spacing(args.high[0]) if args.high else None,
        seed=args.seed,
        date=datetime.now(timezone.utc).date().isoformat(),
        **_describe_simulation(
            [_read_sidecar(path) for path in args.low[: len(args.low) - args.calibrate]]
        ),
    )


def _describe_simulation(sidecars: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of the card that the sidecars contain; empty if a sidecar is empty."""
    if not all(sidecars):
        return {}
    snr = {name: [sidecar[name] for sidecar in sidecars] for name in ("snr_wm", "snr_gm")}
    known: dict[str, Any] = {
        "snr_presets": sorted({sidecar["preset"] for sidecar in sidecars}),
        **{name: (min(values), max(values)) for name, values in snr.items()},
    }
    # Thickness and gap are in voxels of the high scans.
    for name, kind in (("thickness", _NUMBER), ("gap", _NUMBER), ("noise", str), ("tissues", str)):
        settings = [sidecar.get(name) for sidecar in sidecars]
        if all(isinstance(setting, kind) for setting in settings):
            known[name] = sorted(set(settings))
    return known


def _read_sidecar(path: str) -> dict[str, Any]:
    """Return the sidecar that ``simulate`` wrote next to a scan, or an empty dict."""
    from sklearn_iqt.io._open import read_json_file

    try:
        sidecar = read_json_file(Path(path).with_name(f"{stem(path)}.json"))
        has_snr = all(isinstance(sidecar[name], _NUMBER) for name in ("snr_wm", "snr_gm"))
        return sidecar if has_snr and isinstance(sidecar["preset"], str) else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
