"""A Hub on loopback that the real client of huggingface_hub can talk to.

Two servers, as in life: the Hub itself answers with metadata and sends large files elsewhere by a
redirect; the store holds the bytes and understands ranges. What goes wrong is switched on `Faults`.
"""

import hashlib
import json
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SO_LINGER, SOL_SOCKET
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")


@dataclass
class Faults:
    """Switches; all may be changed while the server runs."""

    status: int | None = None  # answer everything on the Hub with this
    cuts: int = 0  # so many downloads of large files are cut in the middle
    cut_at: float = 0.5  # where, as a fraction of what is to be sent
    reset: bool = False  # cut by a reset, not by an orderly end
    garbled: set[str] = field(default_factory=set)  # file names whose bytes come wrong
    plain_location: str | None = None  # redirect large files there instead
    sent_on: dict[str, str] = field(default_factory=dict)  # small files are elsewhere, by name
    sent_on_again: str | None = None  # the store, too, says that large files are elsewhere
    unhashed: bool = False  # large files are known by git hash, as small ones are
    passing: list[int] = field(default_factory=list)  # statuses for the next requests, once each


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    server: str

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class FakeHub:
    """Repositories by name, each with revisions by commit; `main` is the last one added."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[Request] = []
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self._hub = _serve(self, _HubHandler)
        self._store = _serve(self, _StoreHandler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._hub.server_address[1]}"

    @property
    def store(self) -> str:
        return f"http://127.0.0.1:{self._store.server_address[1]}"

    def add(self, repository: str, files: dict[str, bytes], commit: str | None = None) -> str:
        text = repository + "".join(sorted(files)) + str(len(self.repositories.get(repository, {})))
        commit = commit or hashlib.sha1(text.encode()).hexdigest()
        self.repositories.setdefault(repository, {})[commit] = dict(files)
        self.branches.setdefault(repository, {})["main"] = commit
        return commit

    def sent(self, server: str, method: str = "GET") -> list[Request]:
        return [r for r in self.requests if r.server == server and r.method == method]

    def close(self) -> None:
        for server in (self._hub, self._store):
            server.shutdown()
            server.server_close()


@contextmanager
def running_hub():
    hub = FakeHub()
    try:
        yield hub
    finally:
        hub.close()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _serve(hub: FakeHub, handler: type) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type(handler.__name__, (handler,), {"hub": hub}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"
    label = ""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._note()
        self.answer()

    do_GET = do_POST = do_HEAD  # noqa: N815

    def _note(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append(Request(self.command, self.path, headers, self.label))
        length = int(headers.get("content-length", 0))
        self.body = self.rfile.read(length) if length else b""

    def reply(self, status: int, content: bytes = b"", cut: int | None = None, **headers: str):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[:cut])
        if cut is not None:
            if self.hub.faults.reset:
                self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True


class _HubHandler(_Handler):
    label = "hub"

    def answer(self):
        faults = self.hub.faults
        status = faults.passing.pop(0) if faults.passing else faults.status
        if status is not None:
            self.reply(status, X_Error_Message="switched on by the test")
            return
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            self._answer_api("/".join(parts[2:4]), parts[4:])
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._answer_file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.reply(404)

    def _files(self, repository: str, revision: str):
        """Give commit and files, or answer with the Hub's own error and give None."""
        commits = self.hub.repositories.get(repository)
        if commits is None:
            self.reply(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            return None
        commit = self.hub.branches[repository].get(revision, revision)
        if commit not in commits:
            self.reply(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
            return None
        return commit, commits[commit]

    def _answer_file(self, repository: str, revision: str, path: str):
        found = self._files(repository, revision)
        if found is None:
            return
        commit, files = found
        if path not in files:
            code = {"X_Error_Code": "EntryNotFound", "X_Error_Message": "Entry not found"}
            self.reply(404, X_Repo_Commit=commit, **code)
            return
        content, faults = files[path], self.hub.faults
        if path.endswith(LARGE):
            etag = git_hash(content) if faults.unhashed else sha256(content)
            self.reply(
                302,
                Location=faults.plain_location or f"{self.hub.store}/{sha256(content)}/{path}",
                X_Repo_Commit=commit,
                X_Linked_Size=str(len(content)),
                X_Linked_Etag=f'"{etag}"',
            )
            return
        if path in faults.sent_on:
            known = {"ETag": f'"{git_hash(content)}"', "X_Repo_Commit": commit}
            self.reply(302, Location=faults.sent_on[path], **known)
            return
        body = _garble(content) if path in faults.garbled else content
        length = {"Content_Length": str(len(content))}
        self.reply(200, body, ETag=f'"{git_hash(content)}"', X_Repo_Commit=commit, **length)

    def _answer_api(self, repository: str, rest: list[str]):
        revision = rest[1] if len(rest) > 1 else "main"
        found = self._files(repository, revision)
        if found is None:
            return
        commit, files = found
        if rest[:1] == ["tree"]:
            answer = [_entry(path, content) for path, content in files.items()]
        elif rest[:1] == ["paths-info"]:
            asked = json.loads(self.body)["paths"]
            answer = [_entry(path, files[path]) for path in asked if path in files]
        else:
            siblings = [{"rfilename": path} for path in sorted(files)]
            answer = {"id": repository, "modelId": repository, "sha": commit, "siblings": siblings}
            answer |= {"private": False, "tags": [], "downloads": 0, "likes": 0}
        self.reply(200, json.dumps(answer).encode(), Content_Type="application/json")


class _StoreHandler(_Handler):
    label = "store"

    def answer(self):
        digest, _, path = self.path.strip("/").partition("/")
        contents = [
            files[path]
            for commits in self.hub.repositories.values()
            for files in commits.values()
            if path in files and sha256(files[path]) == digest
        ]
        if not contents:
            self.reply(404)
            return
        content, faults = contents[0], self.hub.faults
        if faults.sent_on_again is not None:
            self.reply(302, Location=faults.sent_on_again)
            return
        if path in faults.garbled:
            content = _garble(content)
        headers = {"Content_Type": "application/octet-stream", "Accept_Ranges": "bytes"}
        status, start = 200, 0
        wanted = self.headers.get("Range")
        if wanted is not None:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            status = 206
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        piece, cut = content[start:], None
        if self.command == "GET" and faults.cuts > 0:
            faults.cuts -= 1
            cut = int(len(piece) * faults.cut_at)
        self.reply(status, piece, cut, **headers)


def _garble(content: bytes) -> bytes:
    """Turn over one bit of the last byte."""
    return content[:-1] + bytes([content[-1] ^ 1])


def _entry(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
    if path.endswith(LARGE):
        large = {"oid": sha256(content), "sha256": sha256(content), "size": len(content)}
        entry["lfs"] = large | {"pointerSize": 134}
    return entry
