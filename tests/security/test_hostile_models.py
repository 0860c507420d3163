"""Model files of strangers are refused with one type of error, in little memory and time."""

import contextlib
import multiprocessing
import signal

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from benchmarks.attack.model_files import at, change, join, split, swap
from sklearn_iqt import (
    CoupledDictionaryIQT,
    PatchTransformer,
    PatchwiseRegressor,
    load_model,
    save_model,
)
from sklearn_iqt.compose import AnyGridIQT
from sklearn_iqt.persistence import read_model_card
from sklearn_iqt.preprocessing import NyulScaler

HIGH = np.random.default_rng(0).random((2, 16, 16, 16), dtype=np.float32) + 0.5
LOW = HIGH.reshape(2, 16, 16, 4, 4).mean(axis=-1)
BYTES = 2**29
SECONDS = 60


def make_models():
    patcher = PatchTransformer(3)
    models = {
        "srep": CoupledDictionaryIQT(6, patcher=patcher, max_iter=1, random_state=0),
        "ridge": PatchwiseRegressor(patcher=patcher, random_state=0),
        "pipeline": make_pipeline(
            NyulScaler(keep_units=True), PatchwiseRegressor(patcher=patcher, random_state=0)
        ),
        "any": AnyGridIQT(PatchwiseRegressor(patcher=patcher, random_state=0)),
    }
    with contextlib.suppress(ImportError):
        from sklearn_iqt import AnisoUNetRegressor, DDLRegressor

        small = {"patch_size": (8, 8, 2), "background": 1.0, "batch_size": 4, "max_steps": 1}
        models["unet"] = AnisoUNetRegressor(2, 3, random_state=0, **small)
        models["ddl"] = DDLRegressor(2, 1, random_state=0, **small)
    return models


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genuine")
    return {
        name: save_model(model.fit(LOW, HIGH), folder / f"{name}.iqt").read_bytes()
        for name, model in make_models().items()
    }


def outcome(path, limited=True):
    """Return how a file is refused by both readers, in a process of limited memory and time."""
    if limited:
        import resource

        with open("/proc/self/statm") as stream:
            used = int(stream.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
        signal.alarm(SECONDS)
    names = []
    for read in (load_model, read_model_card):
        try:
            read(path)
        except BaseException as error:
            names.append(f"{type(error).__name__}: {error}")
        else:
            names.append("read")
    if limited:
        signal.alarm(0)
    return names


@pytest.fixture(scope="module")
def child():
    """A process that reads files; a file that takes too much memory or time ends it."""
    pytest.importorskip("resource")
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        yield lambda path: pool.apply_async(outcome, (path,)).get(2 * SECONDS)


def params(*keys, value):
    return at("model", "params", *keys, value=value)


def fitted(*keys, value):
    return at("model", "fitted", *keys, value=value)


def scalar(kind, value):
    return {"scalar": [kind, value]}


def in_each_patcher(key, value):
    def edit(document):
        document["model"]["params"]["patcher"]["params"][key] = value
        document["model"]["fitted"]["patcher_"]["params"][key] = value

    return edit


PRIME = 1_000_000_007
# Model and edit of its document.
LARGE = {
    "levels of a U-Net": ("unet", params("n_levels", value=10**9)),
    "filters of a U-Net": ("unet", params("n_filters", value=1024)),
    "most filters of a U-Net": ("unet", params("n_filters", value=2**12)),
    "levels and filters": (
        "unet",
        lambda d: d["model"]["params"].update(n_levels=16, n_filters=4096),
    ),
    "blocks of a U-Net": ("unet", params("block_size", value=10**6)),
    "blocks of DDL": ("ddl", params("n_blocks", value=10**5)),
    "most blocks of DDL": ("ddl", params("n_blocks", value=1000)),
    "atoms of DDL": ("ddl", params("n_atoms", value=4096)),
    "prime scale": ("unet", params("scale", value=PRIME)),
    "prime scale along an axis": ("unet", params("scale", value={"tuple": [1, 1, PRIME]})),
    "prime scale of patches": ("srep", params("scale", value={"tuple": [1, 1, PRIME]})),
    "patches of a net": ("unet", params("patch_size", value=10**9)),
    "patches": ("ridge", in_each_patcher("patch_size", 10**9)),
    "patches along an axis": ("ridge", in_each_patcher("patch_size", {"tuple": [1, 1, 10**9]})),
    "strides": ("ridge", in_each_patcher("stride", 10**9)),
    "features": ("ridge", fitted("n_features_in_", value=2**40)),
    "outputs": ("ridge", fitted("n_outputs_", value=2**62)),
    "many estimators": (
        "ridge",
        params("estimator", value={"tuple": [{"class": "Ridge", "params": {}}] * 10_000}),
    ),
    "nested lists": ("ridge", params("memory", value=[[[[[[]]]]]] * 10)),
}
TYPES = {
    "a list as class": ("ridge", at("model", "class", value=["Ridge"])),
    "a dict as class": ("ridge", at("model", "class", value={})),
    "a list as type of a number": ("ridge", fitted("n_features_in_", value=scalar([], 1))),
    "a dict as type of a number": ("ridge", fitted("n_features_in_", value=scalar({}, 1))),
    "half of a surrogate pair": ("ridge", params("alignment", value="\ud800")),
    "half of a surrogate pair in the version": ("ridge", at("version", value="\udfff")),
    "half of a surrogate pair as attribute": ("ridge", fitted("\ud800", value=1)),
    "half of a surrogate pair in the card": ("ridge", at("training", value={"cohort": "\ud800"})),
    "a list as scikit-learn": ("ridge", at("sklearn", value=[])),
    "an array as scale_": ("ridge", fitted("scale_", value=[1, 1, 4])),
    "a number as scale_": ("ridge", fitted("scale_", value=scalar("float64", 4.0))),
    "a list as patch_size_": (
        "ridge",
        fitted("patcher_", "fitted", "patch_size_", value=[3, 3, 3]),
    ),
    "a list as name of a step": (
        "pipeline",
        lambda d: d["model"]["params"]["steps"][0]["tuple"].__setitem__(0, [1]),
    ),
    "a dict as name of a step": (
        "pipeline",
        lambda d: d["model"]["params"]["steps"][0]["tuple"].__setitem__(0, {"dict": {}}),
    ),
    "an unknown device": ("unet", params("device", value="hpu")),
    "a device of this machine": ("unet", params("device", value="cuda")),
    "threads": ("srep", params("n_jobs", value=40)),
    "threads of a part": (
        "ridge",
        at(
            "model",
            "fitted",
            "estimator_",
            value={"class": "KNeighborsRegressor", "params": {"n_jobs": 40}},
        ),
    ),
    "a checkpoint": ("unet", params("checkpoint", value="/tmp/elsewhere")),
    "settings of set_output": (
        "srep",
        fitted("_sklearn_output_config", value={"dict": {"transform": "pandas"}}),
    ),
    "metadata requests": ("srep", fitted("_metadata_request", value=1)),
    "a card that is a list": ("ridge", at("training", value=[])),
    "a card with a list as alignment": ("ridge", at("training", value={"alignment": []})),
    "a card with a dict as date": ("ridge", at("training", value={"date": {}})),
    "a card with a list as orientation": ("ridge", at("training", value={"orientation": [1]})),
    "a card with a huge seed": ("ridge", at("training", value={"seed": 10**30})),
    "no parameters": ("ridge", at("model", "params", value=None)),
    "a model that is text": ("ridge", at("model", value="Ridge")),
}


def check_refusal(child, content, tmp_path):
    path = tmp_path / "model.iqt"
    path.write_bytes(content)
    loaded, card = child(path)
    assert loaded.startswith("UntrustedModelError"), loaded
    assert card == "read" or card.startswith("UntrustedModelError"), card
    assert "\n" not in loaded
    loaded.encode()


@pytest.mark.parametrize("case", [*LARGE, *TYPES])
def test_hostile_documents_are_refused_in_little_memory_and_time(case, genuine, child, tmp_path):
    name, edit = {**LARGE, **TYPES}[case]
    if name not in genuine:
        pytest.skip("torch is not installed")
    check_refusal(child, change(genuine[name], edit), tmp_path)


@pytest.mark.parametrize("wrapper", ["any", "estimator_"])
@pytest.mark.parametrize(
    "case", ["levels of a U-Net", "filters of a U-Net", "prime scale", "blocks of DDL"]
)
def test_nested_models_have_the_same_limits(case, wrapper, genuine, child, tmp_path):
    name, edit = LARGE[case]
    if name not in genuine:
        pytest.skip("torch is not installed")
    changed = change(genuine[name], edit)

    def nest(document):
        inner = document["model"]
        if wrapper == "any":
            frozen = {"class": "FrozenEstimator", "params": {"estimator": inner}}
            params = {"estimator": frozen, "grid": "model", "order": 3}
            document["model"] = {"class": "AnyGridIQT", "params": params}
        else:
            document["model"] = {
                "class": "PatchwiseRegressor",
                "params": {},
                "fitted": {"estimator_": inner},
            }

    check_refusal(child, change(changed, nest), tmp_path)


def test_many_atoms_of_one_number_are_refused(genuine, child, tmp_path):
    from safetensors.numpy import load

    arrays = load(genuine["srep"])
    content = swap(
        genuine["srep"],
        dictionary_low_=np.ones((16_384, 1), np.float32),
        dictionary_high_=np.zeros((16_384, arrays["dictionary_high_"].shape[1]), np.float32),
        projection_=np.ones((1, arrays["projection_"].shape[1]), np.float32),
    )
    check_refusal(child, content, tmp_path)


def test_arrays_that_overflow_are_refused(genuine, child, tmp_path):
    from safetensors.numpy import load

    huge = np.full_like(load(genuine["srep"])["projection_"], 3e38)
    check_refusal(child, swap(genuine["srep"], projection_=huge), tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": ["F32"]},
        {"dtype": {}},
        {"dtype": 3},
        {"shape": [2**31, 2**31]},
        {"shape": [1.0]},
        {"shape": [True]},
        {"shape": {}},
        {"shape": [1] * 100},
        {"shape": [0, 2**32], "data_offsets": [0, 0]},
        {"data_offsets": [[], []]},
        {"data_offsets": ["0", "8"]},
        {"data_offsets": None},
        {"more": 1},
        [],
    ],
)
def test_hostile_tables_are_refused(entry, genuine, child, tmp_path):
    header, body = split(genuine["ridge"])
    old = header["estimator_.intercept_"]
    header["estimator_.intercept_"] = {**old, **entry} if isinstance(entry, dict) else entry
    check_refusal(child, join(header, body), tmp_path)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "9" * 400, "[" * 10**5])
def test_numbers_that_are_not_finite_are_refused_everywhere(number, genuine, child, tmp_path):
    header, body = split(change(genuine["ridge"], at("training", value={"notes": {"x": "HERE"}})))
    text = header["__metadata__"]["sklearn_iqt"]
    header["__metadata__"]["sklearn_iqt"] = text.replace('"HERE"', number)
    path = tmp_path / "model.iqt"
    path.write_bytes(join(header, body))
    assert [name.partition(":")[0] for name in child(path)] == ["UntrustedModelError"] * 2


def test_genuine_files_are_read_in_the_same_memory(genuine, child, tmp_path):
    for name, content in genuine.items():
        path = tmp_path / f"{name}.iqt"
        path.write_bytes(content)
        assert child(path) == ["read", "read"]


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    model = PatchwiseRegressor(patcher=PatchTransformer(3), random_state=0).fit(LOW, HIGH)
    model.target_gains_ = np.array([1e300])
    with pytest.raises(ValueError, match=r"load_model would refuse.*target_gains_"):
        save_model(model, tmp_path / "model.iqt")
    assert not list(tmp_path.iterdir())
