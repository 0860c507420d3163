"""Benchmarks of importing the package and starting the command."""

import subprocess
import sys

IMPORTS = """\
import time
start = time.perf_counter()
import {}
print(time.perf_counter() - start)
"""


def run(code, *arguments):
    """Run code in a new interpreter and return its output."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class StartUp:
    """Start-up in a new interpreter, which must not load torch."""

    def setup(self):
        code = "import sys; from sklearn_iqt import CoupledDictionaryIQT; print(*sys.modules)"
        if "torch" in run(code).split():
            raise RuntimeError("Importing CoupledDictionaryIQT must not import torch, but it does.")

    def time_version(self):
        run("from sklearn_iqt.cli import main; main()", "--version")

    def time_help_of_enhance(self):
        run("from sklearn_iqt.cli import main; main()", "enhance", "--help")

    def track_import_beyond_scikit_learn(self):
        return float(run("import sklearn\n" + IMPORTS.format("sklearn_iqt")))

    track_import_beyond_scikit_learn.unit = "s"

    def track_import_of_srep(self):
        return float(run(IMPORTS.format("sklearn_iqt; sklearn_iqt.CoupledDictionaryIQT")))

    track_import_of_srep.unit = "s"
