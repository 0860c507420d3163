"""Changed parameters, attributes, pipelines and training cards are refused."""

import numpy as np
import pytest
from safetensors.numpy import load

from benchmarks.attack.model_files import at, change, deep, join, split, swap
from sklearn_iqt import ConformalIQT, PatchTransformer, PatchwiseRegressor, save_model

DOCUMENTS = {
    "unknown class": (at("model", "class", value="Popen"), "contains the class 'Popen'"),
    "class by path": (at("model", "class", value="os.system"), "contains the class"),
    "class that is not a string": (at("model", "class", value=["Ridge"]), "contains the class"),
    "a part as model": (at("model", "class", value="Ridge"), "contains the class 'Ridge'"),
    "nested unknown class": (
        at("model", "params", "estimator", value={"class": "Popen", "params": {}}),
        "contains the class 'Popen'",
    ),
    "nested fitted unknown class": (
        at("model", "fitted", "estimator_", "class", value="SGDClassifier"),
        "contains the class 'SGDClassifier'",
    ),
    "extra parameter": (
        at("model", "params", "callback", value="x"),
        r"cannot have the parameters \['callback",
    ),
    "parameter of a wrong type": (
        at("model", "params", "max_patches", value="many"),
        "max_patches",
    ),
    "parameter out of range": (at("model", "params", "max_patches", value=-1), "max_patches"),
    "nested parameter out of range": (
        at("model", "params", "patcher", "params", "background", value=7),
        "background",
    ),
    "params that are a list": (at("model", "params", value=[1]), "not as list"),
    "unknown key of an estimator": (at("model", "state", value={}), "unknown keys"),
    "a method as fitted": (
        at("model", "fitted", "predict", value=1),
        "cannot have the fitted attribute 'predict'",
    ),
    "a dunder": (at("model", "fitted", "__class__", value="x"), "cannot have the fitted"),
    "a dunder dict": (
        at("model", "fitted", "__dict__", value={"dict": {}}),
        "cannot have the fitted",
    ),
    "not a name": (at("model", "fitted", "a.b", value=1), "cannot have the fitted"),
    "a parameter as fitted": (at("model", "fitted", "target", value="x"), "cannot have the fitted"),
    "arrays for a class without": (at("model", "arrays", value={}), "has no named arrays"),
    "unknown kind of value": (
        at("model", "params", "random_state", value={"call": "f"}),
        "unknown kind",
    ),
    "two kinds of value": (
        at("model", "params", "random_state", value={"tuple": [], "dict": {}}),
        "unknown kind",
    ),
    "an unknown number": (
        at("model", "params", "random_state", value={"scalar": ["object", 1]}),
        "unknown type",
    ),
    "a number too large": (
        at("model", "params", "random_state", value={"scalar": ["int8", 4000]}),
        "does not fit its type",
    ),
    "a number whose type is a list": (
        at("model", "params", "random_state", value={"scalar": [["int8"], 1]}),
        "unknown type",
    ),
    "an array of text as size": (
        at("model", "fitted", "scale_", value={"strings": ["1", "2"]}),
        "scale_ differs|inconsistent|broadcast",
    ),
    "half of a character": (
        at("model", "fitted", "estimator_", "fitted", "coef_", value={"array": "\ud800"}),
        "surrogates not allowed",
    ),
    "a number that is text": (
        at("model", "params", "random_state", value={"scalar": ["int8", "1"]}),
        "numpy number that",
    ),
    "strings that are numbers": (
        at("model", "fitted", "feature_names_in_", value={"strings": ["a", 1]}),
        "array of strings with",
    ),
    "a tuple that is a dict": (
        at("model", "params", "scale", value={"tuple": {"0": 1}}),
        "a tuple",
    ),
    "an array elsewhere": (
        at(
            "model",
            "fitted",
            "estimator_",
            "fitted",
            "intercept_",
            value={"array": "../../etc/passwd"},
        ),
        "missing or used twice",
    ),
    "an array twice": (
        at(
            "model",
            "fitted",
            "estimator_",
            "fitted",
            "intercept_",
            value={"array": "estimator_.coef_"},
        ),
        "missing or used twice|does not use the arrays",
    ),
    "an array unused": (
        at("model", "fitted", "estimator_", "fitted", "intercept_", value=None),
        "does not use the arrays",
    ),
    "no fitted state": (lambda d: d["model"].pop("fitted"), "does not use the arrays"),
    "no fitted regressor": (
        at("model", "fitted", "estimator_", "fitted", value={}),
        "does not use the arrays",
    ),
    "a folder of pickles": (at("model", "params", "memory", value="/x"), "parameters .*memory"),
    "threads": (
        at("model", "params", "patcher", "params", "n_jobs", value=40),
        "cannot have the parameters .*n_jobs",
    ),
    "a progress bar": (at("model", "params", "verbose", value=1), "parameters .*verbose"),
    "settings of the output": (
        at("model", "fitted", "_sklearn_output_config", value={"dict": {"transform": "polars"}}),
        "cannot have the fitted attribute '_sklearn_output",
    ),
    "version of scikit-learn that is a number": (at("sklearn", value=1), "version is not text"),
    "absurd width": (
        at("model", "fitted", "n_features_in_", value=10**15),
        "not a number from 1",
    ),
    "negative width": (at("model", "fitted", "n_features_in_", value=-1), "not a number from 1"),
    "boolean width": (
        at("model", "fitted", "n_features_in_", value=True),
        "not a number from 1",
    ),
    "wrong n_features_in_": (at("model", "fitted", "n_features_in_", value=26), "not patches of"),
    "wrong n_outputs_": (at("model", "fitted", "n_outputs_", value=27), "not patches of"),
    "wrong n_features_in_ of the regressor": (
        at("model", "fitted", "estimator_", "fitted", "n_features_in_", value=5),
        "cannot predict",
    ),
    "no kind of rows": (lambda d: d["model"]["fitted"].pop("_flat_target"), "had one dimension"),
    "no spacing": (lambda d: d["model"]["fitted"].pop("spacing_"), "not a voxel size"),
    "a spacing that is text": (at("model", "fitted", "spacing_", value="4 mm"), "not a voxel size"),
    "no orientation": (
        lambda d: d["model"]["fitted"].pop("orientation_"),
        "not a direction for each axis",
    ),
    "an orientation without voxel size": (
        at("model", "fitted", "orientation_", value="RAS"),
        "not a direction for each axis",
    ),
    "a scale that is not": (at("model", "params", "scale", value={"tuple": [1, 1, 2]}), "scale"),
    "an absurd scale": (at("model", "params", "scale", value=10**12), "scale"),
    "an absurd patch": (
        at("model", "fitted", "patcher_", "params", "patch_size", value=10**9),
        "patch_size is 1000000000, more than 512",
    ),
    "patcher of another class": (
        at("model", "fitted", "patcher_", value={"class": "Ridge", "params": {}}),
        "no fitted patcher",
    ),
    "future format": (at("format", value=5), "newer than 4.*Upgrade"),
    "old format": (at("format", value=1), "format 1 is from an older version.*Fit the model again"),
    "format zero": (at("format", value=0), "not a version number"),
    "format text": (at("format", value="3"), "not a version number"),
    "format true": (at("format", value=True), "not a version number"),
    "format missing": (lambda d: d.pop("format"), "not a version number"),
    "unknown key of the document": (at("hook", value="x"), "unexpected keys"),
    "version that is a number": (at("version", value=1), "version is not text"),
    "training that is a list": (at("training", value=[1]), "training card is not a dict"),
    "training of an unknown field": (at("training", value={"eval": "x"}), "unknown fields"),
    "training of a wrong type": (at("training", value={"scale": "big"}), "scale must be three"),
    "notes that nest deeply": (at("training", value={"notes": {"a": deep(900)}}), "deep"),
    "model that is a number": (at("model", value=7), "not as int"),
    "deep nesting": (at("model", "params", "random_state", value=deep(60)), "deep"),
    "not a number": (at("model", "params", "random_state", value=float("nan")), "contains NaN"),
    "infinite": (at("model", "params", "random_state", value=float("inf")), "contains Infinity"),
    "infinite training": (
        at("training", value={"snr_wm": [1, float("-inf")]}),
        "contains -Infinity",
    ),
}


def of_steps(edit):
    """Return an edit of the list of steps, each a name and an estimator."""
    return lambda document: edit(document["model"]["params"]["steps"])


PIPELINES = {
    "no steps": (at("model", "params", "steps", value=[]), "does not use the arrays"),
    "steps that are a number": (at("model", "params", "steps", value=7), "steps"),
    "a name twice": (of_steps(lambda s: at(1, "tuple", 0, value="tissuescaler")(s)), "same name"),
    "a name that is a list": (
        of_steps(lambda s: at(0, "tuple", 0, value=["x"])(s)),
        "names|inconsistent",
    ),
    "a name with underscores": (of_steps(lambda s: at(1, "tuple", 0, value="a__b")(s)), "names"),
    "no parameters": (lambda d: d["model"]["params"].pop("steps"), "steps"),
    "a folder as learned": (
        lambda d: d["model"].update(fitted={"memory": "/x"}),
        "has fitted attributes",
    ),
    "a parameter as learned": (
        of_steps(
            lambda s: (
                s[0]["tuple"][1]["params"].pop("max_samples"),
                s[0]["tuple"][1]["fitted"].update(max_samples=-5),
            )
        ),
        "cannot have the fitted attribute 'max_samples'",
    ),
    "percentiles of text": (
        of_steps(
            lambda s: at(
                1, "tuple", 1, "params", "percentiles", value=[str(10 * n) for n in range(11)]
            )(s)
        ),
        "cannot scale",
    ),
    "a range beyond numbers": (
        of_steps(lambda s: at(1, "tuple", 1, "params", "output_range", value=[0, 10**400])(s)),
        "401 digits",
    ),
    "thousands of steps": (
        of_steps(
            lambda s: s.extend(
                {"tuple": [f"s{n}", {"class": "PercentileScaler", "params": {}}]}
                for n in range(3000)
            )
        ),
        "3003 steps",
    ),
    "a scaler last": (of_steps(list.reverse), "ends in a TissueScaler"),
    "a model first": (of_steps(lambda s: at(0, "tuple", 1, value=s[2]["tuple"][1])(s)), "twice"),
    "a string first": (
        of_steps(lambda s: at(0, "tuple", 1, value="drop")(s)),
        "does not use the arrays",
    ),
    "a part first": (
        of_steps(lambda s: s.insert(0, {"tuple": ["a", {"class": "Ridge", "params": {}}]})),
        "contains a Ridge",
    ),
    "a pipeline inside": (
        of_steps(
            lambda s: s.insert(0, {"tuple": ["a", {"class": "Pipeline", "params": {"steps": []}}]})
        ),
        "contains a Pipeline, which does not scale",
    ),
    "a scaler that is not fitted": (
        of_steps(lambda s: s.insert(0, {"tuple": ["a", {"class": "TissueScaler", "params": {}}]})),
        "ratios_ is not an array",
    ),
    "landmarks of other percentiles": (
        of_steps(lambda s: at(1, "tuple", 1, "params", "percentiles", value=[1, 99])(s)),
        "cannot scale",
    ),
    "percentiles that fall": (
        of_steps(lambda s: at(1, "tuple", 1, "params", "percentiles", value=[9, 1])(s)),
        "increasing",
    ),
    "wrong model inside": (
        of_steps(lambda s: at(2, "tuple", 1, "fitted", "n_outputs_", value=27)(s)),
        "not patches of",
    ),
}


@pytest.mark.parametrize(
    ("param", "value", "match"),
    [
        ("grid", "/etc/passwd", "not the name of a grid"),
        ("grid", {"tuple": [1, "2"]}, "not the name of a grid"),
        ("order", 9, "order"),
        ("estimator", {"class": "Ridge", "params": {}}, "contains a Ridge|not used|does not use"),
    ],
)
@pytest.mark.parametrize("depth", [0, 1])
def test_a_changed_model_for_any_grid_is_refused(depth, param, value, match, genuine, refused):
    def wrap(document, **changes):
        frozen = {"class": "FrozenEstimator", "params": {"estimator": document["model"]}}
        params = {"estimator": frozen, "grid": "model", "order": 3}
        document["model"] = {"class": "AnyGridIQT", "params": {**params, **changes}}

    content = change(genuine["ridge"], lambda document: wrap(document, **{param: value}))
    refused(change(content, wrap) if depth else content, match)


@pytest.mark.parametrize("attack", PIPELINES)
def test_a_changed_pipeline_is_refused(attack, genuine, refused):
    edit, match = PIPELINES[attack]
    refused(change(genuine["pipeline"], edit), match)


@pytest.mark.parametrize("steps", [[], [1, 2], [{"tuple": ["a"]}], [{"tuple": ["a", None]}]])
def test_malformed_steps_are_refused(steps, genuine, refused):
    edited = change(genuine["pipeline"], at("model", "params", "steps", value=steps))
    metadata = split(edited)[0]["__metadata__"]
    refused(join({"__metadata__": metadata}, b""), "its pipeline")


@pytest.mark.parametrize(
    "ratios",
    [
        np.array([0.4, 1.2, 1.0]),
        np.array([-1, 1, 2.0]),
        np.ones((3, 3)),
        np.arange(3),
        np.array([1e-300, 1, 1e300]),
        np.array([0.4, 1.1, 1.3]),
    ],
)
def test_impossible_ratios_of_tissues_are_refused(ratios, genuine, refused):
    (name,) = (name for name in load(genuine["pipeline"]) if name.endswith("ratios_"))
    refused(swap(genuine["pipeline"], **{name: ratios}), r"ratios_ (cannot be|is not)")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Return the bytes of a model with calibrated intervals."""
    high = np.random.default_rng(0).random((4, 8, 8, 16), dtype=np.float32) + 0.5
    low = high.reshape(4, 8, 8, 4, 4).mean(axis=-1)
    model = ConformalIQT(PatchwiseRegressor(patcher=PatchTransformer(3), random_state=0))
    path = tmp_path_factory.mktemp("calibrated") / "model.iqt"
    return save_model(model.fit(low, high).conformalize(low, high), path).read_bytes()


@pytest.mark.parametrize(
    "factors",
    [
        np.ones((4, 998)),
        np.ones(999),
        np.ones((0, 999)),
        np.ones((4, 999), np.float32),
        -np.ones((4, 999)),
        np.linspace(2, 1, 999)[None],
    ],
)
def test_impossible_factors_of_intervals_are_refused(factors, calibrated, refused):
    refused(swap(calibrated, factors_=factors), r"factors_ does not hold increasing factors")


def test_intervals_without_a_description_of_their_scans_are_refused(calibrated, refused):
    described = at("model", "fitted", "calibration_scans_", value={"dict": {"snr": 1}})
    edited = change(calibrated, described)
    refused(edited, r"calibration_scans_ does not describe scans|does not use")


@pytest.mark.parametrize("attack", DOCUMENTS)
def test_a_changed_document_is_refused(attack, genuine, refused):
    edit, match = DOCUMENTS[attack]
    refused(change(genuine["ridge"], edit), match)


def test_numbers_that_overflow_are_refused(genuine, refused):
    content = change(genuine["ridge"], at("model", "params", "random_state", value="HUGE"))
    header, body = split(content)
    document = header["__metadata__"]["sklearn_iqt"].replace('"HUGE"', "1e999")
    header["__metadata__"]["sklearn_iqt"] = document
    refused(join(header, body), "not finite")
