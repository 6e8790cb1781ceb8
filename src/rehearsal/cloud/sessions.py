"""Sessions of keystoneauth that send nothing to an address that may not have a token, wherever the address came from.

What is asked of every single request, just before it is sent: the catalogue, links in answers (`next`, versions) and
redirects all end here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import requests
from keystoneauth1.session import Session
from keystoneauth1.session import TCPKeepAliveAdapter

if TYPE_CHECKING:
    from collections.abc import Callable


class RequestRefused(requests.exceptions.RequestException):
    """A request that was not sent, because its address is none of the configuration's."""


class _Careful(TCPKeepAliveAdapter):
    def __init__(self, refusal: Callable[[str], str]) -> None:
        self._refusal = refusal
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if why := self._refusal(str(request.url)):
            raise RequestRefused(f"not sent: {why}. If it is right, allow it by name: --allow-endpoint")
        answer: requests.Response = super().send(request, *args, **kwargs)
        return answer


def only_to(refusal: Callable[[str], str]) -> type[Session]:
    """Return a kind of session that asks `refusal` before every request: why the URL is not asked, or nothing."""

    class Careful(Session):
        def __init__(self, **settings: Any) -> None:
            session = requests.Session()
            for scheme in list(session.adapters):
                session.mount(scheme, _Careful(refusal))
            super().__init__(session=session, **settings)

    return Careful
