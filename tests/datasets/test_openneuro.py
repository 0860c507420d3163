"""Downloads from a local server with many faults."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sklearn_iqt.datasets import _download, _openneuro, fetch_ds002748
from sklearn_iqt.datasets._ds002748 import FILES

SIZE = 50_000


def content(label):
    return np.random.default_rng(int(label[4:])).bytes(SIZE)


class Server:
    """Serve the files of a data set, where each request takes the next fault of a list, if any."""

    def __init__(self):
        self.faults = []
        self.requests = []
        self.files = {
            f"/openneuro.org/ds002748/{label}/anat/{label}_T1w.nii.gz": content(label)
            for label in ("sub-01", "sub-02", "sub-03")
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/openneuro.org"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def ranges(self):
        return [headers for _, headers in self.requests]

    def answer(self, request):
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int) or request.path not in self.files:
            request.send_error(fault or 404)
            return
        body = self.files[request.path]
        start = int(asked[len("bytes=") : -1]) if asked and fault != "no ranges" else 0
        content_range = f"bytes {start}-{len(body) - 1}/{len(body)}"
        if fault == "other range":
            start -= 1_000
            content_range = f"bytes {start}-{len(body) - 1}/{len(body)}"
        elif fault == "lying range":  # claims the right range and sends another
            start -= 1_000
        elif fault == "other total":
            content_range = f"bytes {start}-{len(body) - 1}/{len(body) + 1}"
        elif fault == "no content range":
            content_range = ""
        sent = body[start:]
        if fault == "corrupt":
            sent = bytes([sent[0] ^ 1]) + sent[1:]
        elif fault == "longer":
            sent += b"more"
        elif fault == "shorter file":
            sent = sent[:-7]
        request.send_response(206 if asked and fault != "no ranges" else 200)
        if asked and content_range and fault != "no ranges":
            request.send_header("Content-Range", content_range)
        if fault not in ("no length", "longer, no length"):
            request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        if fault == "truncated":
            sent = sent[: len(sent) // 2]
        elif fault == "longer, no length":
            sent += b"x" * 200_000
        try:
            request.wfile.write(sent)
        except OSError:
            assert fault  # the client has closed the connection, as it should


@pytest.fixture
def server(monkeypatch):
    """A server without faults, to which a test can add faults."""
    known = {
        label: (SIZE, hashlib.md5(content(label)).hexdigest())
        for label in ("sub-01", "sub-02", "sub-03", "sub-72")
    }
    monkeypatch.setattr(_openneuro, "FILES", known)
    monkeypatch.setattr(_download, "_PAUSE", 0)
    monkeypatch.setattr(_download, "_CHUNK", 1_000)
    one = Server()
    yield one
    one.close()


@pytest.fixture
def fetch(server, tmp_path):
    def call(subjects=("sub-01",), **options):
        return fetch_ds002748(subjects, data_home=tmp_path, base_url=server.url, **options)

    return call


@pytest.fixture
def target(tmp_path):
    return tmp_path / "ds002748/sub-01/anat/sub-01_T1w.nii.gz"


def part_of(target):
    return target.with_name(f".{target.name}.part")


def leave_part(target, content):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(content)


def test_files_are_downloaded_once_and_returned_in_the_requested_order(fetch, server, tmp_path):
    brains = fetch(["sub-03", "01"])
    assert brains.subjects == ["sub-03", "sub-01"]
    assert brains.license == "CC0"
    assert "ds002748" in brains.description
    for label, path in zip(brains.subjects, brains.images, strict=True):
        assert path.endswith(f"{label}/anat/{label}_T1w.nii.gz")
        with open(path, "rb") as stream:
            assert stream.read() == content(label)
    assert len(server.requests) == 2
    again = fetch([1, "sub-3"])
    assert again.images == brains.images[::-1]
    assert len(server.requests) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_the_folder_is_a_bids_dataset(fetch):
    from sklearn_iqt.cli.bids._layout import check_dataset, find_scans

    brains = fetch(["sub-01", "sub-02"])
    folder = _openneuro.Path(brains.data_dir)
    check_dataset(folder)
    scans, faults = find_scans(folder, "T1w", [], [])
    assert [str(scan.path) for scan in scans] == brains.images
    assert faults == {}
    assert json.loads((folder / "dataset_description.json").read_text())["License"] == "CC0"


@pytest.mark.parametrize("where", ["variable", "home"])
def test_the_folder_can_be_set_by_a_variable(where, server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("SKLEARN_IQT_DATA", str(tmp_path / "set") if where == "variable" else "")
    folder = tmp_path / ("set" if where == "variable" else "home/sklearn_iqt_data")
    (path,) = fetch_ds002748(["sub-01"], base_url=server.url).images
    assert path == str(folder / "ds002748/sub-01/anat/sub-01_T1w.nii.gz")


def test_a_truncated_download_continues_where_it_stopped(fetch, server, target):
    server.faults = ["truncated", "truncated"]
    fetch()
    assert target.read_bytes() == content("sub-01")
    assert server.ranges == [None, f"bytes={SIZE // 2}-", f"bytes={SIZE * 3 // 4}-"]


def test_an_interrupted_download_continues_in_the_next_call(fetch, server, target, monkeypatch):
    class Interrupt(_openneuro.tqdm):
        def update(self, n=1):
            if self.n > SIZE // 3:
                raise KeyboardInterrupt
            return super().update(n)

    with monkeypatch.context() as patch:
        patch.setattr(
            _openneuro,
            "tqdm",
            lambda **options: Interrupt(
                **options | {"file": None, "disable": False, "bar_format": " "}
            ),
        )
        with pytest.raises(KeyboardInterrupt):
            fetch()
    assert not target.exists()
    n_bytes = part_of(target).stat().st_size
    assert SIZE // 3 < n_bytes < SIZE
    fetch()
    assert server.ranges == [None, f"bytes={n_bytes}-"]
    assert target.read_bytes() == content("sub-01")


def test_a_corrupted_download_is_never_renamed(fetch, server, target):
    server.faults = ["corrupt"] * 10
    with pytest.raises(OSError, match=r"sub-01_T1w.*the checksum of the file is wrong.*Call again"):
        fetch()
    assert not target.exists()
    assert not part_of(target).exists()
    server.faults = ["corrupt"]
    fetch()  # the second attempt is a new one
    assert target.read_bytes() == content("sub-01")


def test_a_damaged_partial_file_is_deleted(fetch, server, target):
    leave_part(target, b"x" * 20_000)
    fetch()
    assert target.read_bytes() == content("sub-01")
    assert server.ranges == ["bytes=20000-", None]


@pytest.mark.parametrize(
    "fault", ["other range", "lying range", "other total", "no content range", "longer", 416]
)
def test_a_response_with_other_bytes_is_not_used(fault, fetch, server, target):
    leave_part(target, content("sub-01")[:20_000])
    server.faults = [fault]
    fetch()
    assert target.read_bytes() == content("sub-01")
    assert server.ranges == ["bytes=20000-", None]


def test_a_server_without_ranges_sends_the_whole_file(fetch, server, target):
    leave_part(target, content("sub-02")[:20_000])  # must not become a part of the file
    server.faults = ["no ranges"]
    fetch()
    assert target.read_bytes() == content("sub-01")
    assert len(server.requests) == 1


@pytest.mark.parametrize("n_bytes", [SIZE, SIZE + 5])
def test_a_partial_file_may_be_complete_or_too_long(n_bytes, fetch, server, target):
    leave_part(target, (content("sub-01") + b"12345")[:n_bytes])
    fetch()
    assert target.read_bytes() == content("sub-01")
    assert len(server.requests) == int(n_bytes > SIZE)


@pytest.mark.parametrize("fault", ["longer", "shorter file"])
def test_another_file_is_refused(fault, fetch, server, target):
    server.faults = [fault] * 10
    with pytest.raises(OSError, match=r"the server has a file of"):
        fetch()
    assert not target.exists()
    assert not part_of(target).exists()


def test_no_more_bytes_than_the_file_has_are_stored(fetch, server, target, monkeypatch):
    server.faults = ["longer, no length"]
    monkeypatch.setattr(_download, "_ATTEMPTS", 1)
    with pytest.raises(OSError, match=f"sent more than {SIZE} bytes"):
        fetch()
    assert not target.exists()
    assert part_of(target).stat().st_size <= SIZE


def test_a_server_does_not_have_to_send_a_length(fetch, server, target):
    server.faults = ["no length"]
    fetch()
    assert target.read_bytes() == content("sub-01")


@pytest.mark.parametrize("faults", [[503], [429], [500, "truncated", 502]])
def test_a_busy_server_is_asked_again(faults, fetch, server, target):
    server.faults = list(faults)
    fetch()
    assert target.read_bytes() == content("sub-01")
    assert len(server.requests) == len(faults) + 1


@pytest.mark.parametrize("fault", [403, 404])
def test_a_missing_file_is_not_requested_again(fault, fetch, server):
    server.faults = [fault]
    with pytest.raises(OSError, match=rf"{fault}.*sub-01_T1w.*base_url"):
        fetch()
    assert len(server.requests) == 1


def test_complete_files_are_kept_if_another_download_fails(fetch, server, tmp_path):
    with pytest.raises(OSError, match="404"):
        fetch(["sub-01", "sub-72", "sub-02"])
    fetch(["sub-01", "sub-02"])
    assert [re.search(r"sub-\d+", path)[0] for path, _ in server.requests] == [
        "sub-01",
        "sub-72",
        "sub-02",
    ]


def test_a_missing_server_is_reported(fetch, server, target):
    server.close()
    with pytest.raises(OSError, match=r"could not be downloaded in 4 attempts.*refused"):
        fetch()
    assert not target.exists()


@pytest.mark.parametrize("damage", ["shorter", "changed"])
def test_a_file_that_was_damaged_later_is_downloaded_again(damage, fetch, server, target):
    fetch()
    whole = content("sub-01")
    target.write_bytes(whole[:-1] if damage == "shorter" else whole[:-1] + b"\0")
    fetch()
    assert target.read_bytes() == whole
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "subject", ["sub-99", "73", 0, -1, "", "../../etc", "sub-01/../sub-02", "sub-01\n", None, 1.0]
)
def test_only_subjects_of_the_data_set_are_requested(subject, fetch, server):
    with pytest.raises(ValueError, match="sub-01 to sub-72"):
        fetch(["sub-01", subject])
    assert server.requests == []


@pytest.mark.parametrize("subjects", ["sub-01", 1])
def test_a_single_subject_must_be_in_a_sequence(subjects, fetch):
    with pytest.raises(ValueError, match="sequence"):
        fetch(subjects)


@pytest.mark.parametrize("url", ["file:///etc", "ftp://somewhere", "/folder", ""])
def test_only_http_addresses_are_accepted(url, tmp_path):
    with pytest.raises(ValueError, match="base_url"):
        fetch_ds002748(["sub-01"], data_home=tmp_path, base_url=url)
    assert not list(tmp_path.iterdir())


def test_progress_is_shown_only_if_requested(fetch, capsys):
    fetch()
    assert capsys.readouterr() == ("", "")
    fetch(["sub-02"], verbose=1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "fetch_ds002748" in captured.err
    fetch(["sub-02"], verbose=1)  # nothing to download
    assert capsys.readouterr().err == ""


def test_sizes_and_checksums_are_plausible():
    assert list(FILES) == [f"sub-{n:02d}" for n in range(1, 73)]
    checksums = [md5 for _, md5 in FILES.values()]
    assert len(set(checksums)) == 72
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in checksums)
    # Heads at about 1 mm, compressed. The checksum of an empty file would start with d41d8cd9.
    assert all(2e6 < size < 5e6 for size, _ in FILES.values())
    assert sum(size for size, _ in FILES.values()) == 241_168_479


def test_all_subjects_are_downloaded_by_default(fetch, server, monkeypatch):
    del _openneuro.FILES["sub-72"]
    assert fetch(None).subjects == ["sub-01", "sub-02", "sub-03"]
