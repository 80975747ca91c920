"""Files fetched over https from a pinned place: guarded, resumed, hashed.

The same guards as for the Hub: no request leaves https, wherever a redirect points it (or goes to
this machine itself); a cut connection is taken up where it broke; what comes is compared with a
sha256, and leaves again where it is not that.
"""

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import quote

from strokeseg._version import __version__
from strokeseg.errors import CannotCreateError, WeightsUnavailableError
from strokeseg.files.checksums import sha256
from strokeseg.models.hub_settings import require_safe_address, shown_address

Say = Callable[[str], None]

ATTEMPTS = 4
PAUSE_S = 1.0
TIMEOUT_S = 30.0
MOST_BYTES = 500_000_000

_CHUNK_BYTES = 1 << 16
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-\d+/\d+")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: its path below the source's address, sha256, and size where known."""

    path: str
    sha256: str
    size_bytes: int | None = None

    @property
    def name(self) -> str:
        """What it is called, without folders."""
        return self.path.rpartition("/")[2]

    @property
    def size_text(self) -> str:
        """Its size for people."""
        return "size unknown" if self.size_bytes is None else f"{self.size_bytes / 1e6:.1f} MB"


def fetch_file(source: str, file: SourceFile, folder: Path, model: str, say: Say) -> Path:
    """Fetch one file, or give the one that is there whole.

    Parameters
    ----------
    source
        Address that the file's path is below, with a slash at its end.
    file
        What is expected.
    folder
        Where it is kept, under its sha256, so that files of one name never meet.
    model
        What it is fetched for, for messages.
    say
        Takes a line of progress.

    Returns
    -------
    Path
        The file, whole and of the expected sha256.

    Raises
    ------
    WeightsUnavailableError
        It cannot be had, or is not what was expected (both sha256 are named).
    CannotCreateError
        The folder cannot be written.
    """
    address = source + quote(file.path)
    require_safe_address(address, what="the address")
    whole, part = folder / file.sha256, folder / f"{file.sha256}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (whole.is_file() and sha256(whole) == file.sha256):
            say(f"fetching {file.name} ({file.size_text}) from {shown_address(address)}")
            _persist(address, file, part, model)
            _verify(file, part)
            part.replace(whole)
    except PermissionError as error:
        raise CannotCreateError(
            f"{folder}: cannot be written ({error.strerror}); set HF_HOME to a folder of yours"
        ) from error
    return whole


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Looks at every address that an answer leads to before it is asked."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            require_safe_address(newurl, what="the address")
        except WeightsUnavailableError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _persist(address: str, file: SourceFile, part: Path, model: str) -> None:
    """Fetch until all is there; go on where a cut connection stopped."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if _append(address, file, part):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            reason = f"it answered {error.code}"
            error.close()
            if error.code not in _PASSING:
                _give_up(model, address, reason, error)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            reason = f"{type(error).__name__}: {getattr(error, 'reason', error)}"
        except ConnectionError as error:
            reason = f"{type(error).__name__}: {error}"
        if attempt < ATTEMPTS:
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
    _give_up(model, address, reason, None)


def _append(address: str, file: SourceFile, part: Path) -> bool:
    """Add what one connection gives to what is there; tell whether that is all."""
    have = part.stat().st_size if part.is_file() else 0
    if file.size_bytes is not None and have >= file.size_bytes:
        have = 0  # whole, and not what was expected, or it would not be asked for
    headers = {"User-Agent": f"strokeseg/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - looked at before
    opener = urllib.request.build_opener(_SafeRedirects)
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        goes_on = answer.status == http.client.PARTIAL_CONTENT and _begins_at(answer, have)
        length = answer.headers.get("Content-Length", "")
        told = int(length) + (have if goes_on else 0) if length.isdigit() else None
        size = file.size_bytes or told
        # One byte more than expected is enough to know that it is another file.
        most = MOST_BYTES if size is None else min(size, MOST_BYTES)
        with part.open("ab" if goes_on else "wb") as stream:
            taken = stream.tell()
            while taken <= most:
                piece = answer.read(_CHUNK_BYTES)
                if not piece:
                    break
                stream.write(piece)
                taken += len(piece)
    return size is None or taken >= size


def _begins_at(answer: Any, have: int) -> bool:  # noqa: ANN401 - http.client.HTTPResponse
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == have


def _verify(file: SourceFile, part: Path) -> None:
    found = sha256(part)
    if found != file.sha256:
        part.unlink()
        raise WeightsUnavailableError(
            f"{file.name}: what came has sha256 {found}, expected {file.sha256}; it was removed "
            "again: fetch it once more, or from another network"
        )


def _give_up(model: str, address: str, reason: str, cause: Exception | None) -> NoReturn:
    raise WeightsUnavailableError(
        f"{model}: {shown_address(address)} could not be fetched ({reason[:160]}); check the "
        "network and HTTPS_PROXY, or bring the model from another machine with "
        f"`strokeseg weights export {model} DIR` and `strokeseg weights import DIR`"
    ) from cause
