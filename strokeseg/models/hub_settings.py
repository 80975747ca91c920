"""Where models are kept and fetched from, as the environment says at this moment.

The variables are huggingface_hub's own, so that one setting serves every program on a machine:
HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE. That library reads them once, when it is
imported; here they are read on every call and handed to it. STROKESEG_COMPILED is our own: the
folder of compiled networks, or ``off``.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from strokeseg.errors import WeightsUnavailableError

DEFAULT_ENDPOINT = "https://huggingface.co"
_TRUE = frozenset({"1", "on", "yes", "true"})


@dataclass(frozen=True)
class HubSettings:
    """Folders, endpoint and network switch for one job.

    Attributes
    ----------
    home
        Folder of HF_HOME; what strokeseg itself keeps is in its subfolder ``strokeseg``.
    cache
        The Hub's cache, shared with every other user of huggingface_hub.
    endpoint
        Address of the Hub or of a mirror, without a slash at its end.
    offline
        True where no request may be made.
    compiled
        Where compiled networks are kept; None where they are not.
    """

    home: Path
    cache: Path
    endpoint: str
    offline: bool
    compiled: Path | None = None

    @property
    def state(self) -> Path:
        """Folder of strokeseg's own: imported models and recorded checksums."""
        return self.home / "strokeseg"


def hub_settings(
    *, offline: bool = False, environment: Mapping[str, str] | None = None
) -> HubSettings:
    """Read the settings.

    Parameters
    ----------
    offline
        Forbid requests whatever the environment says.
    environment
        Variables to read; the process's own where None.
    """
    variables = os.environ if environment is None else environment
    fallback = variables.get("XDG_CACHE_HOME") or "~/.cache"
    home = _folder(variables.get("HF_HOME") or str(Path(fallback) / "huggingface"))
    cache = variables.get("HF_HUB_CACHE") or variables.get("HUGGINGFACE_HUB_CACHE")
    switched_off = variables.get("HF_HUB_OFFLINE") or variables.get("TRANSFORMERS_OFFLINE") or ""
    compiled = variables.get("STROKESEG_COMPILED") or str(home / "strokeseg" / "compiled")
    return HubSettings(
        home=home,
        cache=_folder(cache) if cache else home / "hub",
        endpoint=(variables.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/"),
        offline=offline or switched_off.lower() in _TRUE,
        compiled=None if compiled.lower() == "off" else _folder(compiled),
    )


def _folder(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()


def shown_address(address: str) -> str:
    """Write an address without the password and the signature that it may hold."""
    parts = urlsplit(address)
    if not parts.netloc:
        return address
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def require_safe_address(address: str, *, what: str) -> None:
    """Refuse an address that would carry weights or a token in the clear.

    Parameters
    ----------
    address
        An absolute URL.
    what
        What the address is, for the message.

    Raises
    ------
    WeightsUnavailableError
        It is neither https, nor http to this machine itself.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _is_loopback(host):
        return
    raise WeightsUnavailableError(
        f"{what} {shown_address(address)!r} is not https: weights are fetched over https only; "
        "set HF_ENDPOINT to an https address"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
