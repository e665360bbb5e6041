"""A web server on this machine that serves files well or badly, and small archives in the true formats of the datasets."""

import hashlib
import io
import socket
import stat
import struct
import threading
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from recseq.data.fetching import RemoteDataset


@dataclass
class Served:
    """A file and what goes wrong with it, for its first `times` requests."""

    body: bytes
    fault: str | None = None
    times: int = 10**9


class Loopback:
    """Serves `files` by name; `fault` is truncated, reset, slow, a status like 503, or None. Counts requests.

    With `hold` set to an event, each answer waits for it.
    """

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: Counter[str] = Counter()
        self.closing = threading.Event()
        self.hold: threading.Event | None = None
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                loopback.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{name}"

    def put(self, name: str, body: bytes, fault: str | None = None, times: int = 10**9) -> str:
        self.files[name] = Served(body, fault, times)
        return self.url(name)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        self.requests[name] += 1
        if self.hold is not None:
            self.hold.wait(60)
        served = self.files.get(name)
        if served is None:
            request.send_error(404)
            return
        fault = served.fault if self.requests[name] <= served.times else None
        if fault is not None and fault.isdigit():
            request.send_error(int(fault))
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(served.body)))
        request.end_headers()
        request.wfile.write(served.body if fault is None else served.body[: len(served.body) // 2])
        request.wfile.flush()
        if fault == "reset":
            time.sleep(0.05)  # the half is to arrive before the reset
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.connection.close()
        elif fault == "slow":
            self.closing.wait(60)

    def close(self) -> None:
        self.closing.set()
        if self.hold is not None:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()


def digest(kind: str, body: bytes) -> str:
    """Digest of bytes as a RemoteFile names it, by another way than recseq's."""
    if kind == "git-blob-sha1":
        return f"{kind}:{hashlib.sha1(f'blob {len(body)}'.encode() + bytes(1) + body).hexdigest()}"
    return f"{kind}:{hashlib.new(kind, body).hexdigest()}"


def from_loopback(source: RemoteDataset, loopback: Loopback, bodies: dict[str, bytes], fault: str | None = None) -> RemoteDataset:
    """The source with its files served by the loopback server, with the digest of what is served in the kind it has."""
    files = [
        replace(file, url=loopback.put(file.name, bodies[file.name], fault), digest=file.digest and digest(file.digest.split(":")[0], body))
        for file in source.remote_files()
        for body in [bodies[file.name]]
    ]
    source.remote_files = lambda: files  # type: ignore[method-assign]
    return source


def zipped(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A zip file of these members; `links` are symbolic ones."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
        for name, target in (links or {}).items():
            link = zipfile.ZipInfo(name)
            link.create_system = 3
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
    return buffer.getvalue()


def left_in(folder: Path) -> set[str]:
    """Names of what is in a dataset's folder, lock and records left out."""
    if not folder.exists():
        return set()
    return {path.name for path in folder.iterdir() if path.name != ".lock" and not path.name.endswith(".json")}
