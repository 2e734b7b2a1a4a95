"""A mirror on this machine that can be told to misbehave, and a miniature MNIST for it to serve."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from odelab.datasets import images


class Mirror:
    """Serves `files`; `stop_after` bytes of an answer the connection is cut."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.stop_after: int | None = None
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                mirror.asked.append(name)
                if name not in mirror.files:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(mirror.files[name])))
                self.end_headers()
                self.wfile.write(mirror.files[name][: mirror.stop_after])

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirrors():
    pair = Mirror(), Mirror()
    yield pair
    for mirror in pair:
        mirror.close()


@pytest.fixture
def small_mnist(tmp_path, monkeypatch, mirrors):
    """MNIST's names and formats with 30 and 10 images of noise, served by both mirrors and not on disk: raw bytes."""
    draw = np.random.default_rng(0)
    raw = {}
    for part, n in (("train", 30), ("t10k", 10)):
        head = b"\0\0\x08\x03" + n.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2
        raw[f"{part}-images-idx3-ubyte"] = head + draw.integers(0, 256, n * 784, dtype=np.uint8).tobytes()
        raw[f"{part}-labels-idx1-ubyte"] = b"\0\0\x08\x01" + n.to_bytes(4, "big") + bytes(k % 10 for k in range(n))
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in raw.items()}
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in (raw | packed).items()}
    monkeypatch.setattr(images, "FILES", {name: (sha256[name], sha256[f"{name}.gz"]) for name in raw})
    monkeypatch.setattr(images, "MIRRORS", tuple(mirror.url for mirror in mirrors))
    images._warn.cache_clear()
    for mirror in mirrors:
        mirror.files = dict(packed)
    monkeypatch.setenv("ODELAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ODELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("ODELAB_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    return raw
