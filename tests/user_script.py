"""Code of a user, which ``mypy --strict`` checks. It is never run."""

from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from sklearn_iqt import (
    AnisoUNetRegressor,
    CoupledDictionaryIQT,
    DDLRegressor,
    InterpolationIQT,
    LowFieldSimulator,
    PatchTransformer,
    PatchwiseRegressor,
    TissueScaler,
    load_model,
    load_volume,
    save_model,
    save_volume,
)
from sklearn_iqt.base import BaseIQTRegressor
from sklearn_iqt.datasets import make_subjects
from sklearn_iqt.metrics import nrmse, ssim, volume_scorers
from sklearn_iqt.persistence import TrainingCard
from sklearn_iqt.plotting import plot_comparison
from sklearn_iqt.simulation import GaussianSNR, degrade


def make_models(n_jobs: int) -> dict[str, BaseIQTRegressor]:
    patcher = PatchTransformer((5, 5, 9), stride=(2, 2, 4))
    return {
        "interpolation": InterpolationIQT(order=1),
        "dictionary": CoupledDictionaryIQT(64, patcher=patcher, n_jobs=n_jobs, random_state=0),
        "ridge": PatchwiseRegressor(patcher=PatchTransformer(patch_size=7)),
        "ddl": DDLRegressor(8, max_steps=100, device="cpu"),
        "unet": AnisoUNetRegressor(8, n_levels=4, checkpoint=Path("state")),
    }


def compare(folder: Path) -> dict[str, float]:
    brains = make_subjects(4, shape=(48, 56, 32), random_state=0, n_jobs=2)
    simulator = LowFieldSimulator(GaussianSNR((64.5, 54.1), ((78.5, 71.5), (71.5, 73.9))))
    pairs = simulator.simulate(brains.images, brains.tissues)
    scores = {}
    for name, model in make_models(n_jobs=2).items():
        enhanced = model.fit(pairs.low, pairs.high).predict(pairs.low)
        scores[name] = float(nrmse(pairs.high, enhanced)) + float(ssim(pairs.high, enhanced))
        save_volume(enhanced[0], folder / f"{name}.nii.gz")
        page: Path = model.report(pairs.low[0], folder / f"{name}.html")
        print(page.name, sorted(volume_scorers()))
    return scores


def enhance(scan: str, model_file: Path) -> NDArray[np.float32]:
    image: Nifti1Image = load_volume(scan)
    standard = TissueScaler().fit_transform([image])
    model = load_model(model_file)
    enhanced, spread = model.predict(standard, return_std=True)
    path: Path = save_model(model, model_file, training=TrainingCard(scale=(1, 1, 4)))
    plot_comparison({"low": image, "enhanced": enhanced[0]}, views=("axial",)).savefig(path)
    coarse = degrade(np.asarray(enhanced[0].dataobj), scale=(1, 1, 4))
    return np.asarray(coarse - spread[0].get_fdata(), dtype=np.float32)


def mistakes() -> None:
    """Make mistakes that mypy must find; otherwise it reports an unused ignore comment."""
    CoupledDictionaryIQT(n_atom=64)  # type: ignore[call-arg]
    PatchTransformer("large")  # type: ignore[arg-type]
    InterpolationIQT(order="cubic")  # type: ignore[arg-type]
    save_model(InterpolationIQT(), 3)  # type: ignore[arg-type]
    nrmse([], [], per_volum=True)  # type: ignore[call-arg]
