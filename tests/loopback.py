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


KION = {
    "interactions.csv": (
        b"user_id,item_id,last_watch_dt,total_dur,watched_pct\n"
        b"176549,9506,2021-05-11,4250,72.0\n"
        b"699317,1659,2021-05-29,8317,10.0\n"
        b"656683,7107,2021-05-09,10,\n"
        b"864613,7638,2021-07-05,14483,100.0\n"
        b"176549,1659,2021-08-22,20,10.5\n"
    ),
    "items_en.csv": (
        ",item_id,content_type,title,title_orig,release_year,genres,countries,for_kids,age_rating,studios,directors,actors,description,"
        "keywords,transliterated\n"
        '0,9506,film,"Talk, to Her",Hable con ella,2002.0,"drama, Foreign, detective",Spain,,16.0,,Pedro Almodóvar,x,'
        '"A ""friendship""\nof two men","Talk, her",Pedro Al\'modovar\n'
        '1,1659,series,Three,,2021.0,"Comedy","USA, France",0.0,18.0,,a,b,c,d,"Tom Harper, ISAAC Florentine"\n'
        "2,7107,film,Nobody's,,,drama,Russia,1.0,0.0,,,,,,\n"
        "3,4,film,Unseen,,1999.0,horror,Russia,,18.0,,,,,,Someone Else\n"
    ).encode(),
    "users_en.csv": (
        b",user_id,age,income,sex,kids_flg\n0,176549,age_25_34,income_60_90,M,1\n1,699317,age_18_24,income_20_40,F,0\n2,5,,,,0\n"
    ),
}

MOVIELENS_CSV = {
    "ratings.csv": b"userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,0.5,1112484676\n2,2,5.0,974820889\n",
    "movies.csv": (
        "movieId,title,genres\n"
        "2,Jumanji (1995),Adventure|Children|Fantasy\n"
        '29,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",(no genres listed)\n'
        '31,"He said ""no"" (2000)",Drama\n'
    ).encode(),
}
MOVIELENS = {
    "100k": {
        "u.data": b"196\t242\t3\t881250949\n186\t302\t5\t891717742\n196\t267\t1\t881250949\n",
        "u.item": (
            "242|Les Misérables (1995)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)|0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0\n"
            "267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
            "302|L.A. Confidential (1997)|01-Jan-1997||http://x|0|0|0|0|0|0|1|0|0|0|1|0|0|1|0|0|1|0|0\n"
        ).encode("latin-1"),
    },
    "1m": {
        "ratings.dat": b"1::1193::5::978300760\n1::661::3::978302109\n2::1193::1::978298413\n",
        "movies.dat": (
            "661::James: the Giant Peach (1996)::Animation|Children's|Musical\n1193::Cité, La (1975)::Drama\n2::No One (1990)::\n"
        ).encode("latin-1"),
    },
    "20m": MOVIELENS_CSV,
    "25m": MOVIELENS_CSV,
    "32m": MOVIELENS_CSV,
    "latest_small": MOVIELENS_CSV,
}
MOVIETWEETINGS = {
    "ratings.dat": b"1::0054890::9::1381945744\n2::1408101::0::1382400295\n",
    "movies.dat": "0054890::Fantômas: 2 (1913)::Crime|Drama\n1408101::Goha (1958)::\n".encode(),
}
