"""Downloads from a server of this machine: whole, cut off, resumed, refused."""

import hashlib
import random
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cmbench.datasets.raw.downloads import Download
from cmbench.errors import DatasetError

CONTENT = random.Random(0).randbytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves CONTENT, and what is wrong with it as told; notes the ranges that were asked for."""

    def __init__(self):
        self.content, self.cut, self.knows_ranges, self.ranges = CONTENT, None, True, []

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked[len("bytes=") : -1]) if asked and self.knows_ranges else 0
        if "missing" in handler.path:
            handler.send_error(404)
            return
        if start >= len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        handler.wfile.write(self.content[start : self.cut])


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server_state, *arguments):
        self.state = server_state
        super().__init__(*arguments)

    def do_GET(self):
        self.state.answer(self)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state)) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{listening.server_port}/files/pairs.zip"
        yield state
        listening.shutdown()


def test_a_file_is_fetched_once(server, tmp_path):
    path = Download(server.url, SHA256).into(tmp_path / "new")
    assert path == tmp_path / "new" / "pairs.zip"
    assert path.read_bytes() == CONTENT
    assert Download(server.url, SHA256).into(tmp_path / "new") == path
    assert server.ranges == [None]
    assert list(path.parent.iterdir()) == [path]


def test_a_transfer_that_was_cut_off_goes_on_where_it_was(server, tmp_path):
    server.cut = 90_000
    with pytest.raises(DatasetError, match=r"cannot be fetched .* running the command again goes on"):
        Download(server.url, SHA256).into(tmp_path)
    there = (tmp_path / "pairs.zip.part").stat().st_size
    assert 0 < there <= 90_000
    assert not (tmp_path / "pairs.zip").exists()
    server.cut = None
    assert Download(server.url, SHA256).into(tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={there}-"]


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    (tmp_path / "pairs.zip.part").write_bytes(CONTENT[:5000])
    server.knows_ranges = False
    assert Download(server.url, SHA256).into(tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-", None]


def test_a_part_of_another_file_is_given_up(server, tmp_path):
    (tmp_path / "pairs.zip.part").write_bytes(b"x" * 5000)
    assert Download(server.url, SHA256).into(tmp_path).read_bytes() == CONTENT
    (tmp_path / "pairs.zip").unlink()
    (tmp_path / "pairs.zip.part").write_bytes(b"x" * 200_000)
    assert Download(server.url, SHA256).into(tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_whole_needs_no_server(tmp_path):
    (tmp_path / "pairs.zip.part").write_bytes(CONTENT)
    assert Download("http://127.0.0.1:1/pairs.zip", SHA256).into(tmp_path).read_bytes() == CONTENT


def test_another_checksum_is_refused_and_nothing_kept(server, tmp_path):
    server.content = b"changed" + CONTENT
    found = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(DatasetError, match=f"SHA-256 is {found} and should be {SHA256}; nothing") as caught:
        Download(server.url, SHA256).into(tmp_path)
    assert server.url in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_but_another_is_not_overwritten(server, tmp_path):
    (tmp_path / "pairs.zip").write_bytes(b"mine")
    with pytest.raises(DatasetError, match="remove it, and it will be fetched again") as caught:
        Download(server.url, SHA256).into(tmp_path)
    assert str(tmp_path / "pairs.zip") in str(caught.value)
    assert (tmp_path / "pairs.zip").read_bytes() == b"mine"
    assert server.ranges == []


def test_an_address_without_a_file_or_a_server_is_named(server, tmp_path):
    for url in (server.url.replace("files", "missing"), "http://127.0.0.1:1/pairs.zip"):
        with pytest.raises(DatasetError, match="cannot be fetched") as caught:
            Download(url, SHA256).into(tmp_path)
        assert url in str(caught.value)
        assert "see that the address is right" in str(caught.value)
    assert not list(tmp_path.glob("*.part")), "nothing came"
