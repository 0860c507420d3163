"""Parts of the package that read files, and how each one is attacked."""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
from safetensors.numpy import load as load_arrays

from benchmarks.attack.damage import DAMAGES
from benchmarks.attack.model_files import change, swap
from sklearn_iqt import CoupledDictionaryIQT, PatchTransformer, PatchwiseRegressor
from sklearn_iqt.cli import main
from sklearn_iqt.exceptions import UntrustedModelError, VolumeReadError
from sklearn_iqt.io import load_volume, save_volume
from sklearn_iqt.persistence import load_model, read_model_card, save_model

VIOLATION = "violation"


class Outcome(NamedTuple):
    """Result of one attack: its row in the table, its column, and details of a violation."""

    row: str
    column: str
    detail: str = ""


def _damaged(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    name = str(rng.choice(list(DAMAGES)))
    return name, DAMAGES[name](content, rng)


class Scans:
    """Damaged compressed scans, and hostile headers."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        self.scans: list[tuple[str, np.ndarray, bytes, list[bytes]]] = []
        for shape, dtype in (((64, 64, 72), "f4"), ((24, 24, 16), "f4"), ((32, 32, 20), "i2")):
            voxels = np.abs(rng.normal(100, 30, shape)).astype(dtype)
            voxels[: shape[0] // 4] = 0
            for suffix, kind in ((".nii", nibabel.Nifti1Image), (".mgh", nibabel.MGHImage)):
                content = kind(voxels, np.eye(4)).to_bytes()
                compressed = [gzip.compress(content, level) for level in (1, 6, 9)]
                self.scans.append((suffix, voxels, content, compressed))

    def attack(self, rng: np.random.Generator) -> list[Outcome]:
        suffix, voxels, content, compressed = self.scans[rng.integers(len(self.scans))]
        if rng.random() < 0.8:
            name, damaged = _damaged(compressed[rng.integers(3)], rng)
            path = self.folder / ("scan" + {".nii": ".nii.gz", ".mgh": ".mgz"}[suffix])
            path.write_bytes(damaged)
            ours, theirs = self._read(path, voxels), self._read_with_nibabel(path, voxels)
            return [
                Outcome(
                    "damaged `.nii.gz` and `.mgz`", VIOLATION if ours == "wrong" else ours, name
                ),
                Outcome(f"the same files, nibabel {nibabel.__version__}", theirs, name),
            ]
        changed = bytearray(content)
        for position in rng.integers(352 if suffix == ".nii" else 284, size=rng.integers(1, 9)):
            changed[position] = rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))])
        path = self.folder / f"scan{suffix}"
        path.write_bytes(changed)
        return [Outcome("headers with changed bytes", self._read(path, None), suffix)]

    def _read(self, path: Path, expected: np.ndarray | None) -> str:
        try:
            image = load_volume(path)
        except VolumeReadError:
            return "refused"
        voxels = np.asarray(image.dataobj)
        if expected is not None:
            same = voxels.shape == expected.shape and bool((voxels == expected).all())
            return "read correctly" if same else "wrong"
        valid = np.isfinite(voxels).all() and np.isfinite(np.linalg.inv(image.affine)).all()
        return "read as a valid volume" if valid else VIOLATION

    @staticmethod
    def _read_with_nibabel(path: Path, expected: np.ndarray) -> str:
        try:
            voxels = np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
        except Exception as error:
            return f"refused ({type(error).__name__})"
        same = voxels.shape == expected.shape and bool((voxels == expected).all())
        return "read correctly" if same else "read with wrong voxels"


ODD_VALUES: list[Any] = [
    None, True, -1, 0, 3, 10**9, 2**63, 1e308, -1e-308, "", "x" * 1000, "\ud800", [], {}, [[]],
    {"tuple": []}, {"tuple": [1, 1, 10**9]}, {"dict": {}}, {"scalar": ["float64", 1e308]},
    {"scalar": [[], 1]}, {"strings": ["a"]}, {"strings": [1]}, {"array": "coef_"}, {"array": []},
    {"objects": [], "shape": [0]}, {"class": "Ridge", "params": {}}, {"class": "os.system"},
    {"class": "Pipeline", "params": {"steps": []}},
]  # fmt: skip


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Return all places in a JSON value, as containers with keys."""
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    found = [(node, key) for key in keys]
    for _, key in list(found):
        found += _places(node[key])
    return found


def _edited(rng: np.random.Generator) -> Any:
    def edit(document: dict) -> None:
        for _ in range(rng.integers(1, 4)):
            places = _places(document)
            container, key = places[rng.integers(len(places))]
            choice = rng.random()
            if choice < 0.15:
                del container[key]
            elif choice < 0.3:
                other, name = places[rng.integers(len(places))]
                container[key] = copy.deepcopy(other[name])
            else:
                container[key] = copy.deepcopy(ODD_VALUES[rng.integers(len(ODD_VALUES))])

    return edit


def _other_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    choice = rng.integers(4)
    if choice == 0:
        return array.reshape(-1)[: int(rng.integers(array.size + 1))]
    if choice == 1:
        return np.resize(array, tuple(rng.integers(0, 50, size=rng.integers(4))))
    if choice == 2:
        return array.astype(rng.choice(["f2", "f4", "f8", "i4", "u1", "?"]))
    extreme = rng.choice([0, -1, 1e30, 3e38, 1e-40])
    with np.errstate(all="ignore"):
        return np.where(rng.random(array.shape) < 0.5, array, extreme).astype(array.dtype)


class Models:
    """Damaged model files, and files with a right checksum and other content."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.iqt"
        high = np.random.default_rng(0).random((2, 8, 8, 16), dtype=np.float32) + 0.5
        low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
        patcher = PatchTransformer(3)
        models = [
            CoupledDictionaryIQT(6, patcher=patcher, max_iter=1, random_state=0),
            PatchwiseRegressor(patcher=patcher, random_state=0),
        ]
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(3, max_depth=4, random_state=0)
        models.append(PatchwiseRegressor(forest, patcher=patcher, random_state=0))
        with contextlib.suppress(ImportError):
            from sklearn_iqt import AnisoUNetRegressor

            small = {"patch_size": (8, 8, 2), "background": 1.0, "batch_size": 4, "max_steps": 1}
            models.append(AnisoUNetRegressor(2, 3, random_state=0, **small))
        self.files = [
            save_model(model.fit(low, high), self.path, overwrite=True).read_bytes()
            for model in models
        ]

    def attack(self, rng: np.random.Generator) -> list[Outcome]:
        content = self.files[rng.integers(len(self.files))]
        if rng.random() < 0.4:
            name, changed = _damaged(content, rng)
            self.path.write_bytes(changed)
            column = "unchanged by the damage" if changed == content else self._read()
            if column == "read":
                column = VIOLATION
            return [Outcome("damaged model files", column, name)]
        if rng.random() < 0.6:
            changed, row = change(content, _edited(rng)), "model files with other documents"
        else:
            arrays = load_arrays(content)
            name = str(rng.choice(list(arrays)))
            changed = swap(content, **{name: _other_array(arrays[name], rng)})
            row = "model files with other arrays"
        self.path.write_bytes(changed)
        return [Outcome(row, self._read(), "")]

    def _read(self) -> str:
        with contextlib.suppress(UntrustedModelError):
            read_model_card(self.path)
        try:
            model = load_model(self.path)
        except UntrustedModelError:
            return "refused"
        rows = np.random.default_rng(0).random((3, model.n_features_in_), dtype=np.float32)
        try:
            finite = np.isfinite(model.predict(rows)).all()
        except FloatingPointError:
            return "read; its predictions are refused"
        return "read" if finite else VIOLATION


class Checkpoints:
    """Damaged checkpoints of a training."""

    def __init__(self, folder: Path) -> None:
        import torch

        from sklearn_iqt.deep._shards import write_shards

        self.original, self.folder = folder / "original", folder / "state"
        generator = torch.Generator().manual_seed(0)
        tensors = {f"module/{n}": torch.rand(20, 20, generator=generator) for n in range(5)}
        write_shards(self.original, tensors, {"step": 3, "history": [{"loss": 0.5}], "epoch": 1})

    def attack(self, rng: np.random.Generator) -> list[Outcome]:
        from sklearn_iqt.deep._shards import read_shards

        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.original, self.folder)
        path = rng.choice(sorted(self.folder.iterdir()))
        content = path.read_bytes()
        name, changed = _damaged(content, rng)
        path.write_bytes(changed)
        try:
            _, document = read_shards(self.folder)
        except UntrustedModelError:
            return [Outcome("damaged checkpoints", "refused", name)]
        same = path.suffix == ".json" and json.loads(changed) == json.loads(content)
        column = "unchanged by the damage" if same or changed == content else VIOLATION
        return [Outcome("damaged checkpoints", column, f"{name}: {document}")]


OPTIONS = "jobs quiet force debug scale mask grid csv output output-dir truth thickness method low"
WORDS = [
    "",
    "-1",
    "0",
    "4",
    "1,1,4",
    "1e9",
    "nan",
    "a\x00b",
    "\udcff",
    "..",
    "/",
    "/dev/null",
    "--",
]
WORDS += ["missing", "--model", "--high", "--help", *(f"--{name}" for name in OPTIONS.split())]
COMMANDS = ["enhance", "resample", "evaluate", "report", "fit"]


class CommandLines:
    """Commands with random options and files."""

    def __init__(self, folder: Path) -> None:
        high = np.random.default_rng(0).random((8, 8, 16), dtype=np.float32) + 0.5
        low = high.reshape(8, 8, 4, 4).mean(axis=-1)
        self.folder = folder
        self.low = save_volume(low, folder / "low.nii.gz", affine=np.diag([1, 1, 4, 1]))
        self.high = save_volume(high, folder / "high.nii.gz", like=self.low, zoom=(1, 1, 4))
        model = PatchwiseRegressor(patcher=PatchTransformer(3), random_state=0)
        self.model = save_model(model.fit([self.low], [self.high]), folder / "model.iqt")
        self.files = {path: path.read_bytes() for path in (self.low, self.high, self.model)}
        self.out = folder / "out"

    def attack(self, rng: np.random.Generator) -> list[Outcome]:
        shutil.rmtree(self.out, ignore_errors=True)
        command = str(rng.choice(COMMANDS))
        files = [*map(str, self.files), str(self.out), str(self.out / "new.nii.gz")]
        start: list[str] = []
        if rng.random() < 0.5:
            start = ["--model", str(self.model), str(self.low), "--output-dir", str(self.out)]
        words = [*start, *(str(rng.choice(WORDS + 2 * files)) for _ in range(rng.integers(6)))]
        streams = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            try:
                code: Any = main([command, *words])
            except Exception as error:
                if "--debug" not in words:
                    raise
                code = f"raised with --debug ({type(error).__name__})"
        detail = f"{command} {words}"
        changed = [
            path
            for path, content in self.files.items()
            if not path.is_file() or path.read_bytes() != content
        ]
        for path in changed:
            path.write_bytes(self.files[path])
        overwritten = changed and "--force" not in words
        if (
            overwritten
            or "Traceback" in streams[1].getvalue()
            or (code not in (0, 1, 2) and (not isinstance(code, str)))
        ):
            return [Outcome("command lines", VIOLATION, f"{detail}: {code}, {changed}")]
        column = {0: "succeeded", 1: "some inputs failed", 2: "refused"}.get(code, str(code))
        return [Outcome("command lines", column, detail)]


TARGETS = {
    "scans": Scans,
    "models": Models,
    "checkpoints": Checkpoints,
    "commands": CommandLines,
}


def attack(target: Any, seed: tuple[int, int]) -> list[Outcome]:
    """Attack once, and turn every unexpected error into a violation."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return target.attack(np.random.default_rng(seed))
    except Exception as error:
        name = type(target).__name__
        return [
            Outcome(f"{name}: unexpected errors", VIOLATION, f"{type(error).__name__}: {error}")
        ]
