"""What can go wrong between here and the Hub, and what to say about it."""

import errno

from strokeseg.errors import (
    CannotCreateError,
    ReadWriteError,
    StrokesegError,
    WeightsUnavailableError,
)
from strokeseg.models.hub_settings import HubSettings, shown_address

_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
)
_HTTP_LIBRARIES = frozenset({"requests", "httpx", "httpx2"})


def network_errors() -> tuple[type[Exception], ...]:
    """Give the classes that a call of huggingface_hub fails with.

    Its own error derives from the base error of the HTTP library that it happens to use, which
    differs between its versions; that base also covers cut and refused connections.
    """
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    bases = [
        base
        for base in HfHubHTTPError.__mro__
        if base.__module__.partition(".")[0] in _HTTP_LIBRARIES
    ]
    return (HfHubHTTPError, *bases, EntryNotFoundError, OSError)


def status_code(error: BaseException) -> int | None:
    """Give the HTTP status behind an error, or None."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def is_transient(error: BaseException) -> bool:
    """Tell whether the same request may well succeed a moment later."""
    status = status_code(error)
    if status is not None:
        return status in _PASSING_STATUS
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    return getattr(error, "errno", None) not in _FULL | _FORBIDDEN


def explain(error: BaseException, name: str, settings: HubSettings) -> StrokesegError:
    """Turn a failure of the Hub's client into one line that says what to do.

    Parameters
    ----------
    error
        What the client raised.
    name
        What was asked for, as the user would write it.
    settings
        Where it was asked for.
    """
    from huggingface_hub.errors import RevisionNotFoundError

    code = getattr(error, "errno", None)
    if code in _FULL:
        return ReadWriteError(
            f"{settings.cache}: no space left for {name}; free some or set HF_HOME"
        )
    if code in _FORBIDDEN:
        return CannotCreateError(
            f"{settings.cache}: cannot be written ({error}); set HF_HOME to a folder of yours"
        )
    status = status_code(error)
    where = shown_address(settings.endpoint)
    if isinstance(error, RevisionNotFoundError):
        return WeightsUnavailableError(
            f"{name}: {where} has the repository, not this revision (404); check the part after @"
        )
    if status == 404:
        return WeightsUnavailableError(
            f"{name}: {where} has no such repository or file (404); check owner, name and revision"
        )
    if status in (401, 403):
        return WeightsUnavailableError(
            f"{name}: {where} refused access ({status}); the repository does not exist or is "
            "private or gated: check its name, ask for access on its page, and set HF_TOKEN"
        )
    if status is not None:
        return WeightsUnavailableError(f"{name}: {where} answered {status}; try again later")
    return WeightsUnavailableError(
        f"{name}: {where} could not be reached or broke off ({_reason(error)}); check the network "
        "and HTTPS_PROXY, set HF_ENDPOINT to a mirror, or bring the model from another machine "
        f"with `strokeseg weights export {name} DIR` and `strokeseg weights import DIR`"
    )


def offline_error(name: str, settings: HubSettings) -> WeightsUnavailableError:
    """Make the error for a model that is not here while no request may be made."""
    return WeightsUnavailableError(
        f"{name} is not on this machine ({settings.cache}) and the network is switched off: on a "
        f"machine with internet run `strokeseg weights export {name} DIR`, copy DIR here and run "
        "`strokeseg weights import DIR`"
    )


def _reason(error: BaseException) -> str:
    """Give the innermost cause in a few words."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
