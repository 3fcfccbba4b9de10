"""How the client asks: requests, answers and problems."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Literal, Optional, TypeVar, Union, cast
from typing import get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode, urlsplit

from .models import Problem

T = TypeVar("T")
Value = Union[str, int, float, datetime, None]


class ProblemError(Exception):
    """The API refused: what it says of that (RFC 9457), in words with str()."""

    def __init__(self, status: int, problem: Problem, retry_after: Optional[int] = None) -> None:
        super().__init__(status, problem, retry_after)
        #: The HTTP status.
        self.status = status
        #: What the API says. Something else in between may have answered: then only title is set.
        self.problem = problem
        #: In how many seconds to try again, where the API says so (429, 503).
        self.retry_after = retry_after

    def __str__(self) -> str:
        said = [f"{self.status} {self.problem.title}", self.problem.detail]
        for wrong in self.problem.errors or []:
            said.append(f"{wrong.location}: {wrong.message}")
        return "; ".join(words for words in said if words)


class Transport:
    """Asks a server. One may be used by several threads.

    Raises ProblemError when the API refuses, OSError or http.client.HTTPException when it cannot
    be reached or the connection is lost, and ValueError when the answer is not of this API.
    """

    def __init__(
        self,
        server: str,
        token: str,
        *,
        timeout: float = 30.0,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        """server is such as https://respgate.example.com:3000; timeout is in seconds, of each
        step of a request; context is for authorities or certificates of one's own."""
        if urlsplit(server).scheme not in ("http", "https"):
            raise ValueError(f"server: want http:// or https://, got {server!r}")
        token = token.strip()  # a file's newline
        if not re.fullmatch("[ -~]+", token):
            raise ValueError("token: want printable ASCII characters")
        self._server = server.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._opener = urllib.request.build_opener(
            _NoRedirects, urllib.request.HTTPSHandler(context=context)
        )

    def _call(
        self,
        answer: type[T],
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Value]] = None,
        header: Optional[Mapping[str, Optional[str]]] = None,
        body: Optional[Mapping[str, object]] = None,
    ) -> T:
        """Returns the answer; what is None in query and header is not sent."""
        url = self._server + path
        asked = {k: _text(v) for k, v in (query or {}).items() if v is not None}
        if asked:
            url += "?" + urlencode(asked)
        headers = {k: v for k, v in (header or {}).items() if v is not None}
        headers["Authorization"] = "Bearer " + self._token
        data = None
        if body is not None:
            data = json.dumps(body, default=_text).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                text, etag = response.read(), response.headers["ETag"]
        except urllib.error.HTTPError as refused:
            with refused:
                raise _problem(refused) from None
        value = None if answer is type(None) else json.loads(text)
        if isinstance(value, dict):
            value["etag"] = etag
        return _read(answer, value)

    def _items(self, item: type[T], path: str, query: Mapping[str, Value]) -> Iterator[T]:
        """Yields the items of all pages, each of which is asked for when it is come to."""
        page = self._call(_Page, "GET", path, query=query)
        while True:
            for value in page.items:
                yield _read(item, value)
            if not page.next:
                return
            page = self._call(_Page, "GET", path, query={**query, "cursor": page.next})


@dataclasses.dataclass(frozen=True)
class _Page:
    items: list[Any]
    next: str


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The API redirects nowhere, and a token is for the server that it was meant for."""

    def redirect_request(self, *_: Any) -> None:
        return None


def segment(value: str) -> str:
    """Returns value as one segment of a path."""
    return quote(value, safe="")


def _text(value: object) -> str:
    """Returns how a query has a value, and JSON what it has no form of its own for."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _problem(refused: urllib.error.HTTPError) -> ProblemError:
    problem = Problem(title=refused.reason)
    if refused.headers.get_content_type() == "application/problem+json":
        with contextlib.suppress(ValueError):
            problem = _read(Problem, json.loads(refused.read()))
    after = refused.headers.get("Retry-After", "")
    return ProblemError(refused.code, problem, int(after) if after.isdecimal() else None)


def _read(hint: type[T], value: Any) -> T:
    """Makes what hint says of parsed JSON, or raises ValueError."""
    try:
        return cast(T, _made(hint, value))
    except (AttributeError, TypeError) as wrong:
        raise ValueError(f"the answer is not of this API: no {hint.__name__}") from wrong


def _made(hint: Any, value: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if value is None or hint is Any or origin is Literal:
        return value
    if origin is Union:  # Optional
        return _made(inner[0], value)
    if origin is list:
        return [_made(inner[0], v) for v in value]
    if origin is dict:
        return {k: _made(inner[1], v) for k, v in value.items()}
    if hint is datetime:
        return _time(value)
    if dataclasses.is_dataclass(hint):
        # What a model does not have is of a later version of the API.
        return hint(**{k: _made(v, value[k]) for k, v in _hints(hint).items() if k in value})
    return value


def _time(text: str) -> datetime:
    # Python before 3.11 reads no Z, and of a second's digits 3 or 6 only.
    text = re.sub(r"\.\d+", lambda digits: digits[0][:7].ljust(7, "0"), text)
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@functools.lru_cache(maxsize=None)
def _hints(model: Any) -> dict[str, Any]:
    return get_type_hints(model)
