"""Attacks on the loader, which raise UntrustedModelError without running code from the file."""

import ast
import copy
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from sklearn.pipeline import make_pipeline

import sklearn_iqt
from sklearn_iqt import CoupledDictionaryIQT, PatchTransformer, PatchwiseRegressor
from sklearn_iqt.exceptions import UntrustedModelError
from sklearn_iqt.persistence import load_model, read_model_card, save_model
from sklearn_iqt.preprocessing import NyulScaler, TissueScaler

PACKAGE = Path(sklearn_iqt.__file__).parent


def split(content):
    """Return the header of a file and the bytes of its arrays."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """Return the bytes of valid files: a dictionary, a ridge, and a pipeline with scalers."""
    high = np.random.default_rng(0).random((2, 8, 8, 16), dtype=np.float32) + 0.5
    low = high.reshape(2, 8, 8, 4, 4).mean(axis=-1)
    patcher = PatchTransformer(3)
    models = {
        "srep": CoupledDictionaryIQT(6, patcher=patcher, max_iter=1, random_state=0),
        "ridge": PatchwiseRegressor(patcher=patcher, random_state=0),
        "pipeline": make_pipeline(
            TissueScaler(), NyulScaler(), PatchwiseRegressor(patcher=patcher, random_state=0)
        ),
    }
    folder = tmp_path_factory.mktemp("genuine")
    return {
        name: save_model(model.fit(low, high), folder / f"{name}.iqt").read_bytes()
        for name, model in models.items()
    }


@pytest.fixture
def refused(tmp_path):
    """Return a function that writes a file and checks that it is refused with a message."""

    def check(content, match=None):
        path = tmp_path / "model.iqt"
        path.write_bytes(content)
        with pytest.raises(UntrustedModelError, match=match) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
        assert "model.iqt" in str(caught.value)

    return check


def change(content, edit):
    """Return the bytes of a file after an edit of its document."""
    header, body = split(content)
    document = json.loads(header["__metadata__"]["sklearn_iqt"])
    edit(document)
    header["__metadata__"]["sklearn_iqt"] = json.dumps(document)
    return join(header, body)


def swap(content, **arrays):
    """Return the bytes of a file with other arrays."""
    header, _ = split(content)
    return save({**load(content), **arrays}, metadata=header["__metadata__"])


def at(*keys, value):
    """Return an edit of the document that sets one value."""

    def edit(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return edit


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


DOCUMENTS = {
    "unknown class": (at("model", "class", value="Popen"), "contains the class 'Popen'"),
    "class by path": (at("model", "class", value="os.system"), "contains the class"),
    "class that is not a string": (at("model", "class", value=["Ridge"]), "contains the class"),
    "a part as model": (at("model", "class", value="Ridge"), "contains the class 'Ridge'"),
    "nested unknown class": (
        at("model", "params", "estimator", value={"class": "Pipeline", "params": {}}),
        "contains the class 'Pipeline'",
    ),
    "nested fitted unknown class": (
        at("model", "fitted", "estimator_", "class", value="SGDRegressor"),
        "contains the class 'SGDRegressor'",
    ),
    "extra parameter": (at("model", "params", "callback", value="x"), r"no parameters \['callback"),
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
        at("model", "params", "verbose", value={"call": "f"}),
        "unknown kind",
    ),
    "two kinds of value": (
        at("model", "params", "verbose", value={"tuple": [], "dict": {}}),
        "unknown kind",
    ),
    "an unknown number": (
        at("model", "params", "verbose", value={"scalar": ["object", 1]}),
        "unknown type",
    ),
    "a number too large": (
        at("model", "params", "verbose", value={"scalar": ["int8", 4000]}),
        "does not fit its type",
    ),
    "a number that is text": (
        at("model", "params", "verbose", value={"scalar": ["int8", "1"]}),
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
    "absurd width": (
        at("model", "fitted", "n_features_in_", value=10**15),
        "not a number of voxels",
    ),
    "negative width": (at("model", "fitted", "n_features_in_", value=-1), "not a number of voxels"),
    "boolean width": (
        at("model", "fitted", "n_features_in_", value=True),
        "not a number of voxels",
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
    "a scale that is not": (at("model", "params", "scale", value={"tuple": [1, 1, 2]}), "scale"),
    "an absurd scale": (at("model", "params", "scale", value=10**12), "scale"),
    "an absurd patch": (
        at("model", "fitted", "patcher_", "params", "patch_size", value=10**9),
        "patch_size_ contradicts",
    ),
    "patcher of another class": (
        at("model", "fitted", "patcher_", value={"class": "Ridge", "params": {}}),
        "no fitted patcher",
    ),
    "future format": (at("format", value=3), "newer than 2.*Upgrade"),
    "old format": (at("format", value=1), "format 1 is from an older version.*Fit the model again"),
    "format zero": (at("format", value=0), "not a version number"),
    "format text": (at("format", value="2"), "not a version number"),
    "format true": (at("format", value=True), "not a version number"),
    "format missing": (lambda d: d.pop("format"), "not a version number"),
    "unknown key of the document": (at("hook", value="x"), "unexpected keys"),
    "version that is a number": (at("version", value=1), "version is not text"),
    "training that is a list": (at("training", value=[1]), "training card is not a dict"),
    "training of an unknown field": (at("training", value={"eval": "x"}), "unknown fields"),
    "training of a wrong type": (at("training", value={"scale": "big"}), "scale must be three"),
    "notes that nest deeply": (at("training", value={"notes": {"a": deep(900)}}), "deep"),
    "model that is a number": (at("model", value=7), "not as int"),
    "deep nesting": (at("model", "params", "verbose", value=deep(60)), "deep"),
    "not a number": (at("model", "params", "verbose", value=float("nan")), "contains NaN"),
    "infinite": (at("model", "params", "verbose", value=float("inf")), "contains Infinity"),
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
    "a name with underscores": (of_steps(lambda s: at(1, "tuple", 0, value="a__b")(s)), "names"),
    "no parameters": (lambda d: d["model"]["params"].pop("steps"), "steps"),
    "a folder as learned": (
        lambda d: (d["model"]["params"].pop("memory"), d["model"].update(fitted={"memory": "/x"})),
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
        "cannot scale",
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
        of_steps(lambda s: s.insert(0, {"tuple": ["a", {"class": "Pipeline", "params": {}}]})),
        "contains the class 'Pipeline'",
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


@pytest.mark.parametrize("attack", PIPELINES)
def test_a_changed_pipeline_is_refused(attack, genuine, refused):
    edit, match = PIPELINES[attack]
    refused(change(genuine["pipeline"], edit), match)


@pytest.mark.parametrize("steps", [[], [1, 2], [{"tuple": ["a"]}], [{"tuple": ["a", None]}]])
def test_malformed_steps_are_refused(steps, genuine, refused):
    edited = change(genuine["pipeline"], at("model", "params", "steps", value=steps))
    refused(save({}, metadata=split(edited)[0]["__metadata__"]), "its pipeline")


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


@pytest.mark.parametrize("attack", DOCUMENTS)
def test_a_changed_document_is_refused(attack, genuine, refused):
    edit, match = DOCUMENTS[attack]
    refused(change(genuine["ridge"], edit), match)


def test_numbers_that_overflow_are_refused(genuine, refused):
    content = change(genuine["ridge"], at("model", "params", "verbose", value="HUGE"))
    header, body = split(content)
    document = header["__metadata__"]["sklearn_iqt"].replace('"HUGE"', "1e999")
    header["__metadata__"]["sklearn_iqt"] = document
    refused(join(header, body), "not finite")


ARRAYS = {
    "atoms of another length": ("dictionary_low_", lambda a: a[:, :-1], "projection_ has shape"),
    "another number of atoms": ("dictionary_low_", lambda a: a[:-1], "dictionary_high_ has shape"),
    "high atoms of another patch": ("dictionary_high_", lambda a: a[:, :-1], "dictionary_high_"),
    "projection of another patch": ("projection_", lambda a: a[:, :-1], "projection_ has shape"),
    "one dimension": ("dictionary_low_", lambda a: a[0], "dictionary_low_ has shape"),
    "no atoms": ("dictionary_low_", lambda a: a[:0], "dictionary_high_ has shape"),
    "integers": ("dictionary_low_", lambda a: a.astype(np.int32), "not an array of floats"),
    "half": ("dictionary_low_", lambda a: a.astype(np.float16), "not an array of floats"),
    "NaN": ("dictionary_high_", lambda a: a * np.nan, "NaN"),
    "infinite": ("projection_", lambda a: a / 0.0, "infinite"),
}


@pytest.mark.parametrize("attack", ARRAYS)
def test_inconsistent_arrays_are_refused(attack, genuine, refused):
    name, edit, match = ARRAYS[attack]
    with np.errstate(all="ignore"):
        changed = edit(load(genuine["srep"])[name])
    refused(swap(genuine["srep"], **{name: np.ascontiguousarray(changed)}), match)


@pytest.mark.parametrize("shape", [(10, 27), (108, 26), (27, 108), (1, 1)])
def test_weights_of_another_shape_are_refused(shape, genuine, refused):
    coef = np.zeros(shape, np.float32)
    # Where Ridge keeps its weights column by column, the file holds the transpose.
    if load(genuine["ridge"])["estimator_.coef_"].shape == (27, 108):
        coef = np.ascontiguousarray(coef.T)
    refused(swap(genuine["ridge"], **{"estimator_.coef_": coef}))


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "a/../b", "..", "a\\b", "", "a" * 10 + "\0", "C:x", "~/x"]
)
def test_names_that_could_be_paths_are_refused(name, genuine, refused):
    refused(swap(genuine["ridge"], **{name: np.zeros(1)}), "not a valid name")


def test_an_additional_array_is_refused(genuine, refused):
    refused(swap(genuine["ridge"], extra=np.zeros(1)), "does not use the arrays")


def test_too_many_atoms_are_refused(genuine, refused):
    n_atoms, arrays = 2**15 + 1, load(genuine["srep"])
    arrays["dictionary_low_"] = np.zeros((n_atoms, 1), np.float32)
    arrays["dictionary_high_"] = np.zeros((n_atoms, 27), np.float32)
    arrays["projection_"] = np.zeros((1, 27), np.float32)
    refused(swap(genuine["srep"], **arrays), "atoms are more than")


def test_too_many_threads_are_refused(genuine, refused):
    refused(change(genuine["srep"], at("model", "params", "n_jobs", value=10**6)), "threads")


def test_duplicate_names_are_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    text = json.dumps(header)
    entry = json.dumps(header["estimator_.intercept_"])
    twice = text[:-1] + f', "estimator_.intercept_": {entry}}}'
    refused(join(twice.encode(), body), "same name twice")
    document = header["__metadata__"]["sklearn_iqt"]
    header["__metadata__"]["sklearn_iqt"] = document[:-1] + ',"format":1}'
    refused(join(header, body), "same name twice")


@pytest.mark.parametrize("length", [0, 1, 2**22 + 1, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_is_too_long_is_refused(length, genuine, refused):
    refused(length.to_bytes(8, "little") + genuine["ridge"][8:], "not a model file|truncated")


def test_a_padded_header_that_is_too_long_is_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    refused(join(json.dumps(header).encode() + b" " * 2**22, body), "not a model file")


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [10**9, 10**9]},
        {"shape": [-1]},
        {"shape": "big"},
        {"shape": [[1]]},
        {"dtype": "F64"},
        {"dtype": "BF16"},
        {"dtype": "O"},
        {"dtype": None},
        {"data_offsets": [0, 2**40]},
        {"data_offsets": [4, 0]},
        {"data_offsets": [0]},
        {"data_offsets": [0, 8]},
    ],
)
def test_false_descriptions_of_an_array_are_refused(entry, genuine, refused):
    header, body = split(genuine["ridge"])
    header["estimator_.intercept_"] = {**header["estimator_.intercept_"], **entry}
    refused(join(header, body), "damaged|unknown type")


def test_overlapping_arrays_are_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    header["estimator_.coef_"] = copy.deepcopy(header["estimator_.intercept_"])
    refused(join(header, body), "damaged")


@pytest.mark.parametrize("part", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(part, genuine, refused):
    refused(genuine["ridge"][:part])


def test_appended_bytes_are_refused(genuine, refused):
    refused(genuine["ridge"] + b"\0" * 16, "damaged")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_pickle_is_refused_and_not_run(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(pickle.dumps(Bomb()))
    header = json.dumps({"__metadata__": {"sklearn_iqt": pickle.dumps(Bomb()).hex()}}).encode()
    refused(join(header, b""), "not JSON")
    assert not (tmp_path / "exploded").exists()


def test_files_from_other_programs_are_refused(refused):
    refused(save({"weight": np.zeros(3)}), "metadata is missing")
    refused(save({"weight": np.zeros(3)}, metadata={"format": "pt"}), "metadata is missing")
    refused(b"PK\3\4" + bytes(100))
    refused(b"\x93NUMPY" + bytes(100))


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b"null", b'"x"', b"{" * 50, b"\xff\xfe", b"[" * 90_000]
)
def test_invalid_headers_are_refused(text, refused):
    refused(join(text.ljust(2), b""))


def test_deep_json_in_the_document_is_refused(genuine, refused):
    header, body = split(genuine["ridge"])
    for opening in ("[", '{"a":'):
        header["__metadata__"]["sklearn_iqt"] = opening * 100_000
        refused(join(header, body))


def test_devices_and_folders_are_refused(tmp_path):
    with pytest.raises(UntrustedModelError, match="not a regular file"):
        load_model("/dev/zero")
    with pytest.raises(OSError, match="directory"):
        load_model(tmp_path)


def test_the_card_refuses_other_files(tmp_path):
    path = tmp_path / "model.iqt"
    for content in (b"", b"junk" * 100, save({"weight": np.zeros(3)})):
        path.write_bytes(content)
        with pytest.raises(UntrustedModelError, match="read_model_card"):
            read_model_card(path)


# The examples of hypothesis share the fixtures.
SHARED_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=150, suppress_health_check=SHARED_FIXTURES)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(refused, content):
    refused(content)


@settings(max_examples=300, suppress_health_check=SHARED_FIXTURES)
@given(st.sampled_from(["srep", "ridge"]), st.integers(0), st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_gives_a_model_that_predicts(
    genuine, tmp_path, name, position, flip
):
    content = bytearray(genuine[name])
    header = 8 + int.from_bytes(content[:8], "little")
    content[position % header] ^= flip
    path = tmp_path / "flipped.iqt"
    path.write_bytes(bytes(content))
    try:
        model = load_model(path)
    except UntrustedModelError:
        return
    rows = np.zeros((2, model.n_features_in_), np.float32)
    assert np.isfinite(model.predict(rows)).all()


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "skops"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "joblib.load", "np.load", "numpy.load"}


def unsafe_code(node):
    """Return a description of code that could run code from a file, or None."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        module = getattr(node, "module", None) or ""
        names = {module.split(".")[0], *(alias.name.split(".")[0] for alias in node.names)}
        return f"imports {names}" if names & FORBIDDEN_MODULES else None
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in FORBIDDEN_CALLS:
            return f"calls {called}"
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        if called == "torch.load" and options.get("weights_only") != "True":
            return "calls torch.load without weights_only=True"
    return None


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import dill as d",
        "eval('1')",
        "np.load(f, allow_pickle=True)",
        "joblib.load(f)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
    ],
)
def test_unsafe_code_is_found(code):
    assert any(unsafe_code(node) for node in ast.walk(ast.parse(code)))


def test_the_package_contains_no_unsafe_code():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {unsafe_code(node)}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if unsafe_code(node)
    ]
    assert not found
