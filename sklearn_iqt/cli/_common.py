"""Arguments, file names, progress and tables that the commands share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn_iqt._file_names import stem


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    epilog: str,
    *,
    force: str = "replace files that exist",
) -> argparse.ArgumentParser:
    """Add a command with the options that all commands share."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    shared = parser.add_argument_group("general")
    shared.add_argument("--force", action="store_true", help=force)
    shared.add_argument("--quiet", action="store_true", help="show no progress")
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Add the options on the scale and the alignment of low and high voxels."""
    parser.add_argument(
        "--scale",
        type=int,
        nargs=3,
        default=[1, 1, 4],
        metavar=("I", "J", "K"),
        help="high voxels for each low voxel, along each axis (default: 1 1 4)",
    )
    parser.add_argument(
        "--alignment",
        choices=["center", "corner"],
        default="center",
        help="position of a low voxel in its block of high voxels: at the centre (default), or on "
        "the first voxel (corner)",
    )


def add_outputs(parser: argparse.ArgumentParser, scan: str) -> None:
    """Add the options on where results are written: a folder, or a file for a single scan."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output-dir", type=Path, metavar="DIR", help="folder for the results")
    where.add_argument(
        "--output", type=Path, metavar="FILE", help=f"file for the result of a single {scan}"
    )


def name_outputs(args: argparse.Namespace, scans: Sequence[str], ending: str) -> list[Path]:
    """Return the file for the result of each scan, by --output or --output-dir."""
    if args.output is None:
        return [args.output_dir / f"{stem(scan)}_{ending}.nii.gz" for scan in scans]
    if len(scans) > 1:
        raise ValueError(f"--output allows one scan, got {len(scans)}. Use --output-dir")
    return [args.output]


def add_nan(parser: argparse.ArgumentParser) -> None:
    """Add the option on NaN voxels in scans."""
    parser.add_argument(
        "--nan",
        choices=["refuse", "background"],
        default="refuse",
        help="refuse scans with NaN voxels (default), or replace NaN by 0, if NaN marks voxels "
        "outside the field of view",
    )


def check_outputs(
    outputs: Sequence[Path], inputs: Iterable[str | os.PathLike[str]], force: bool
) -> None:
    """Create the folders of the outputs; raise an error if an output would replace a file.

    Inputs and other outputs are never replaced, existing files only with `force`.
    """
    protected = {os.path.realpath(path) for path in inputs}
    seen: set[str] = set()
    for output in outputs:
        real = os.path.realpath(output)
        if real in protected:
            raise ValueError(f"{output} is an input and would be overwritten. Choose another name")
        if real in seen:
            raise ValueError(
                f"two inputs would be written to {output}. Run the command once for each of them, "
                "with different output folders"
            )
        seen.add(real)
    existing = [str(output) for output in outputs if output.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more exist" if len(existing) > 1 else " exists"
        raise FileExistsError(
            f"{existing[0]}{more} already. Pass --force to replace existing files"
        )
    for output in outputs:
        output.parent.mkdir(parents=True, exist_ok=True)


#: Exit code of a command that refused scans, if nothing failed.
REFUSED = 3


class RefusedScanError(Exception):
    """A scan is not like the training scans of the model, and was not enhanced."""


def run_batch(
    args: argparse.Namespace,
    items: Sequence[Any],
    work: Callable[[Any], None],
    description: str,
    *,
    show: bool = True,
) -> int:
    """Call `work` for each item, continue after failures, and return the exit code."""
    from tqdm.auto import tqdm

    failures, refused, quiet = 0, 0, args.quiet or not show
    with tqdm(items, desc=description, unit="volume", disable=quiet, file=sys.stderr) as bar:
        for item in bar:
            try:
                work(item)
            except RefusedScanError as error:
                refused += 1
                bar.write(f"sklearn-iqt {args.command}: {one_line(error)}", file=sys.stderr)
            except Exception as error:
                if args.debug:
                    raise
                failures += 1
                message = f"sklearn-iqt {args.command}: error: {one_line(error)}"
                bar.write(message, file=sys.stderr)
    if failures == len(items):
        return 2
    if failures or refused:
        done = len(items) - failures - refused
        counts = {"failed": failures, "refused": refused}
        others = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        say(args, f"{done} of {len(items)} done, {others}")
    if failures:
        return 1
    return REFUSED if refused else 0


def set_session(model: Any, **settings: Any) -> None:
    """Set parameters such as ``n_jobs`` in all steps of a model that have them.

    Only the last step shows progress, so that there is a single progress bar.
    """
    from sklearn_iqt.base import steps_of

    for step in reversed(steps_of(model)):
        known = step.get_params(deep=False)
        step.set_params(**{name: value for name, value in settings.items() if name in known})
        settings["verbose"] = 0


def one_line(error: object) -> str:
    """Return a message on one line, or the type of the error if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__


def say(args: argparse.Namespace, message: str) -> None:
    """Print a message to stderr, unless --quiet was passed."""
    if not args.quiet:
        print(message, file=sys.stderr, flush=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file. An error leaves no incomplete file."""
    from sklearn_iqt.io import replaced_file

    with replaced_file(path) as stream:
        # Names of files that are not UTF-8 are written with escapes.
        stream.write(text.encode(errors="backslashreplace"))


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of texts and numbers as a table with a header. Floats have four decimals."""
    header = list(rows[0])
    cells = [header]
    for row in rows:
        values = [row[name] for name in header]
        cells.append([f"{v:.4f}" if isinstance(v, float) else str(v) for v in values])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_text = [all(isinstance(row[name], str) for row in rows) for name in header]
    lines = [
        "  ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(row, widths, is_text, strict=True)
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
