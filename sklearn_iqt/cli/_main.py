"""Parse the command line, run a command and print its errors."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import partial

from sklearn_iqt._version import __version__
from sklearn_iqt.cli import (
    _demo,
    _enhance,
    _evaluate,
    _fit,
    _prepare,
    _report,
    _resample,
    _simulate,
)
from sklearn_iqt.cli._common import one_line
from sklearn_iqt.cli.bids import _command as _bids

_COMMANDS = (
    _prepare,
    _simulate,
    _fit,
    _enhance,
    _evaluate,
    _report,
    _resample,
    _bids,
    _demo,
)

_EPILOG = """\
from high-quality scans to an enhanced low-field scan:
  sklearn-iqt simulate brains/*_T1w.nii.gz --output-dir pairs --seed 1
  sklearn-iqt fit --low pairs/*_low.nii.gz --high pairs/*_high.nii.gz --output srep.iqt
  sklearn-iqt enhance --model srep.iqt scan.nii.gz --output-dir enhanced
  sklearn-iqt evaluate --truth truth.nii.gz --estimate enhanced/scan_enhanced.nii.gz
  sklearn-iqt report --model srep.iqt scan.nii.gz --output report.html

with low-field and high-field scans of the same people, instead of simulate:
  sklearn-iqt prepare --low low/*.nii.gz --high high/*.nii.gz --register --output-dir pairs

'sklearn-iqt COMMAND --help' explains one command. 'sklearn-iqt demo' needs no input files.

exit codes: 0 success; 1 some inputs failed; 2 invalid usage, or all inputs failed; 3 scans were
refused, and nothing failed; 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments without the name of the program. The default is ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit code: 0 for success, 1 if some inputs failed, 2 for invalid usage or if all inputs
        failed, 3 if scans were refused and nothing failed, 130 if the command was interrupted.

    Examples
    --------
    >>> from sklearn_iqt.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    sklearn-iqt ...
    0
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version or invalid usage; argparse has printed it
        return stop.code if isinstance(stop.code, int) else 2
    name = f"sklearn-iqt {args.command}"
    with warnings.catch_warnings(), _printable():
        warnings.showwarning = partial(_show_warning, name)
        return _run(args, name)


def _run(args: argparse.Namespace, name: str) -> int:
    """Run a command, and print an error or an interruption on one line."""
    try:
        return args.run(args)
    except KeyboardInterrupt as interrupt:
        reason = f": {one_line(interrupt)}" if str(interrupt) else ""
        print(f"{name}: interrupted{reason}", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(f"{name}: error: {one_line(error)}", file=sys.stderr)
        return 2


def _show_warning(name: str, message: Warning | str, *_: object, **__: object) -> None:
    print(f"{name}: warning: {one_line(message)}", file=sys.stderr)


@contextlib.contextmanager
def _printable() -> Iterator[None]:
    """Escape characters that the terminal cannot show, such as in unusual file names."""
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    before = [stream.errors for stream in streams]
    try:
        for stream in streams:
            stream.reconfigure(errors="backslashreplace")
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            if not stream.closed:
                stream.reconfigure(errors=errors)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-iqt",
        description="Image quality transfer for 3-D medical volumes: learn from pairs of low- and "
        "high-quality scans, and enhance low-quality scans.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sklearn-iqt {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
