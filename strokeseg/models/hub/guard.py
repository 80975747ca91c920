"""No request of the Hub's client leaves https, wherever a redirect points it.

The client follows redirects by itself, also from https to http. Here every request that it is about
to make is looked at first, the first one and those that answers lead to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from strokeseg.models.hub_settings import require_safe_address


@contextmanager
def only_safe_addresses() -> Iterator[None]:
    """Refuse, before it is sent, each request that is neither https nor to this machine itself.

    Raises
    ------
    WeightsUnavailableError
        Inside the `with`, from the call of the client that would have made the request.
    """
    from huggingface_hub import get_session

    session: Any = get_session()
    if hasattr(session, "event_hooks"):  # httpx and what came after it: from huggingface_hub 1.0
        hooks = session.event_hooks
        session.event_hooks = {**hooks, "request": [_check_request, *hooks["request"]]}
        try:
            yield
        finally:
            session.event_hooks = hooks
        return
    adapter_for = session.get_adapter  # requests

    def checked(url: str, *arguments: Any) -> Any:  # noqa: ANN401 - the client's own
        require_safe_address(url, what="the address")
        return adapter_for(url, *arguments)

    session.get_adapter = checked
    try:
        yield
    finally:
        session.get_adapter = adapter_for


def _check_request(request: Any) -> None:  # noqa: ANN401 - httpx.Request, or its successor's
    require_safe_address(str(request.url), what="the address")
