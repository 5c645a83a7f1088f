"""F27: downloads that are cut, wrong, redirected, endless or impossible leave nothing behind and say what to do."""

import contextlib
import hashlib
import http.server
import threading

import pytest

from neuralop_jax.data import _download, download
from neuralop_jax.errors import DataError

CONTENT = bytes(range(256)) * 5000
KNOWN = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in all ways but the right one, except under /whole."""

    elsewhere: str

    def do_GET(self):
        if self.path.startswith("/to-"):
            target = {"/to-whole": "/whole", "/to-file": "file:///etc/hostname", "/to-loop": "/to-loop"}
            self.send_response(302)
            self.send_header("Location", target.get(self.path, self.elsewhere))
            self.end_headers()
            return
        if self.path == "/absent":
            self.send_error(404)
            return
        page = b"<!DOCTYPE html><title>Sign in</title>"
        body = {"/page": page, "/cut": CONTENT[:300_000], "/changed": CONTENT[:-1] + b"?"}.get(self.path, CONTENT)
        self.send_response(200)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(page if self.path == "/page" else CONTENT)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # of whoever has seen enough
            for _ in range(100 if self.path == "/endless" else 1):
                self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def server():
    Handler.elsewhere = "http://example.invalid/whole"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("address", ["/whole", "/to-whole"])
def test_f27_what_was_meant_is_kept(server, tmp_path, address):
    path = tmp_path / "data.h5"
    assert download(server + address, path, sha256=KNOWN) == path
    assert path.read_bytes() == CONTENT and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/cut", r"cannot be downloaded \(cut off after 300,000 of 1,280,000 bytes\).*put it at .*data\.h5"),
        ("/changed", r"is not what was meant: sha256 [0-9a-f]{12}…, wanted [0-9a-f]{12}…. Nothing was kept"),
        ("/page", "is not what was meant"),
        ("/absent", r"cannot be downloaded \(HTTP Error 404: Not Found\)"),
        ("/endless", r"has more than 1\.9 MiB; refused"),
        ("/to-elsewhere", r"http://example\.invalid/whole is refused: wanted https://"),
        ("/to-file", "cannot be downloaded|refused"),
        ("/to-loop", "cannot be downloaded"),
    ],
)
@pytest.mark.parametrize("before", [None, b"old"])
def test_f27_anything_else_leaves_what_was_there(server, tmp_path, address, message, before):
    path = tmp_path / "data.h5"
    if before:
        path.write_bytes(before)
    with pytest.raises(DataError, match=message) as error:
        download(server + address, path, sha256=KNOWN, limit=2_000_000, overwrite=True)
    assert "\n" not in str(error.value)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([before] if before else [])


def test_f27_offline(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        address = f"http://127.0.0.1:{closed.server_port}/whole"
    with pytest.raises(DataError, match=rf"{address} cannot be downloaded .*Download it elsewhere, put it at {tmp_path}/x\.h5"):
        download(address, tmp_path / "x.h5", sha256=KNOWN)
    (tmp_path / "x.h5").write_bytes(CONTENT)  # by hand
    assert download(address, tmp_path / "x.h5", sha256=KNOWN.upper()) == tmp_path / "x.h5"


def test_f27_a_server_that_falls_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "SECONDS", 0.2)
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as silent:  # listens and never answers
        with pytest.raises(DataError, match="timed out"):
            download(f"http://127.0.0.1:{silent.server_port}/", tmp_path / "x.h5", sha256=KNOWN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["http://example.org/x.h5", "ftp://example.org/x.h5", "data:,x", "x.h5", "http://localhost.evil.org/"]
)
def test_f27_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(DataError, match="is refused: wanted https://, file://, or http:// of this machine"):
        download(url, tmp_path / "x.h5", sha256=KNOWN)


def test_f27_other_refusals(tmp_path):
    there = tmp_path / "there"
    there.write_bytes(CONTENT)
    for known in ("", "md5:1234", KNOWN[:-1]):
        with pytest.raises(DataError, match="sha256 must be 64 hexadecimal digits"):
            download(there.as_uri(), tmp_path / "x.h5", sha256=known)
    with pytest.raises(DataError, match="no such directory"):
        download(there.as_uri(), tmp_path / "none" / "x.h5", sha256=KNOWN)
    (tmp_path / "x.h5").write_bytes(b"old")
    with pytest.raises(DataError, match="exists with sha256 .* wanted .*overwrite=True"):
        download(there.as_uri(), tmp_path / "x.h5", sha256=KNOWN)
    assert download(there.as_uri(), tmp_path / "x.h5", sha256=KNOWN, overwrite=True).read_bytes() == CONTENT


@pytest.mark.parametrize("address", ["https://[bad", "http://localhost:1/ü"])
def test_f27_what_is_no_address_is_one_line(tmp_path, address):
    with pytest.raises(DataError, match="is no address|cannot be downloaded"):
        download(address, tmp_path / "x.h5", sha256=KNOWN)
