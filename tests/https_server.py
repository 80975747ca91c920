"""A plain file server on loopback that understands ranges; what goes wrong is switched on it."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class FileServer:
    """Files by path; `cuts` downloads break in the middle, `passing` statuses come once each."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.moved: dict[str, str] = {}
        self.cuts = 0
        self.passing: list[int] = []
        self.knows_ranges = True
        handler = type("Handler", (_Handler,), {"files": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_file_server():
    server = FileServer()
    try:
        yield server
    finally:
        server.close()


class _Handler(BaseHTTPRequestHandler):
    files: FileServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, path = self.files, unquote(self.path).lstrip("/")
        wanted = self.headers.get("Range")
        server.requests.append((path, wanted))
        if server.passing:
            self._reply(server.passing.pop(0), b"")
        elif path in server.moved:
            self._reply(302, b"", Location=server.moved[path])
        elif path not in server.files:
            self._reply(404, b"")
        else:
            content, start = server.files[path], 0
            if wanted and server.knows_ranges:
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                place = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self._reply(206, content[start:], Content_Range=place)
            else:
                self._reply(200, content)

    def _reply(self, status, content, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content and self.files.cuts > 0:
            self.files.cuts -= 1
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)
