"""Where a request may go.

A connection's credentials belong to its base_url: same scheme, host and port, and every segment of its path. Servers
and proxies disagree about what `%2e%2e`, a backslash or a tab in a URL mean, so with a connection such URLs are refused
instead of interpreted, and what is compared is the URL object that is then sent, never the text that was given.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote

import httpx

from runtara_agents_http.models import Scalar, text_of
from runtara_framework.agents import AgentError

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def target(url: str, base_url: str | None, *, connected: bool) -> httpx.URL:
    """The URL to call. `connected`: credentials go along.

    Raises `AgentError` URL_INVALID or URL_OUTSIDE_CONNECTION."""
    if base_url is None:
        if not _ABSOLUTE.match(url):
            raise _invalid(f"{_shown(url)} is relative: give an absolute URL, or a connection with a base_url")
        return _parse(url, what="url", userinfo=not connected)
    base = _base(base_url)
    if _UNSAFE.search(url):
        raise _outside("the URL contains a backslash or a control character")
    if _ABSOLUTE.match(url):
        found = _parse(url, what="url", userinfo=False)
    elif url.startswith("//"):
        raise _outside("the URL names a host of its own (//)")
    else:
        path, mark, rest = _split_path(url)
        base_path = _raw_path(base)
        joined = f"{base_path.rstrip('/')}/{path.lstrip('/')}" if path else base_path
        query = mark + rest if mark == "?" else ""
        found = _parse(f"{base.scheme}://{base.netloc.decode('ascii')}{joined}{query}", what="url", userinfo=False)
    if not contains(base, found):
        raise _outside(f"{shown(found)} is not below {shown(base)}, to which the connection's credentials belong")
    return found


def contains(base: httpx.URL, url: httpx.URL) -> bool:
    """Whether the URL is below the base: same origin, and its path begins with the base's, segment by segment."""
    if not same_origin(base, url) or url.userinfo:
        return False
    segments = _segments(url)
    start = [part for part in _segments(base) if part]
    if any(_ambiguous(part) for part in segments):
        return False
    # Empty segments ("//") are skipped by some servers and kept by others: no base matches through them.
    return segments[: len(start)] == start


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether scheme, host and port are the same."""
    return (one.scheme, one.host, _port(one)) == (other.scheme, other.host, _port(other))


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads, without credentials in the URL. Raises `AgentError` URL_INVALID."""
    if _UNSAFE.search(location):
        raise _invalid("the service redirects to a malformed URL")
    try:
        found = url.join(location)
    except (httpx.InvalidURL, ValueError):
        raise _invalid("the service redirects to a malformed URL") from None
    return _parse(str(found.copy_with(userinfo=b"", fragment=None)), what="redirect", userinfo=False)


def with_query(url: httpx.URL, parameters: dict[str, Scalar | list[Scalar] | None]) -> httpx.URL:
    """The URL with the parameters added to its query, percent-encoded."""
    pairs = [
        f"{quote(name, safe='')}={quote(text_of(one), safe='')}"
        for name, value in parameters.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    ]
    if not pairs:
        return url
    given = url.query.decode("ascii")
    return url.copy_with(query="&".join([*([given] if given else []), *pairs]).encode("ascii"))


def shown(url: httpx.URL) -> str:
    """The URL for a message: without user, query and fragment, which may be secret."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}{_raw_path(url)}"


def _base(text: str) -> httpx.URL:
    if not _ABSOLUTE.match(text):
        raise _invalid("the connection's base_url is not an absolute http or https URL")
    base = _parse(text, what="base_url", userinfo=False)
    if base.query or any(_ambiguous(part) for part in _segments(base)):
        raise _invalid("the connection's base_url may have neither a query nor `.`, `..` or an encoded slash")
    return base


def _parse(text: str, *, what: str, userinfo: bool) -> httpx.URL:
    where = {"base_url": "the connection's base_url", "redirect": "the redirect of the service"}.get(what, "the URL")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise _invalid(f"{where} contains control characters")
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]
    if "\\" in authority or "%" in authority.rpartition("@")[2]:
        raise _invalid(f"{where} has a malformed host")
    try:
        url = httpx.URL(text)
        host = url.host
    except (httpx.InvalidURL, ValueError) as error:
        raise _invalid(f"{where} is malformed: {error}") from None
    if url.scheme not in _DEFAULT_PORTS:
        raise _invalid(f"{where} begins with {url.scheme + ':' if url.scheme else 'no scheme'}: use http or https")
    if not host:
        raise _invalid(f"{where} names no host")
    if url.userinfo and not userinfo:
        if what == "url":
            raise _outside("the URL carries a user or password of its own; the connection's are used")
        raise _invalid(f"{where} carries a user or password: use the fields of the connection")
    return url.copy_with(fragment=None)


def _split_path(url: str) -> tuple[str, str, str]:
    """Path, `?` or `#` or nothing, and the rest."""
    found = re.search(r"[?#]", url)
    if found is None:
        return url, "", ""
    at = found.start()
    rest = url[at + 1 :]
    return url[:at], url[at], rest.partition("#")[0]


def _raw_path(url: httpx.URL) -> str:
    """The path as it is sent."""
    return url.raw_path.partition(b"?")[0].decode("ascii")


def _segments(url: httpx.URL) -> list[str]:
    return _raw_path(url).split("/")[1:]


def _ambiguous(segment: str) -> bool:
    """Whether a server might read the segment as more or less than one name."""
    for _ in range(5):
        plain = unicodedata.normalize("NFKC", segment)  # a full-width dot is a dot to some
        if plain in (".", "..") or re.search(r"[/\\\x00-\x1f]", plain) or plain.startswith((".;", "..;")):
            return True
        decoded = unquote(segment, errors="replace")
        if decoded == segment:
            return False
        segment = decoded
    return True  # encoded over and over: nobody does that in good faith


def _port(url: httpx.URL) -> int | None:
    return url.port or _DEFAULT_PORTS.get(url.scheme)


def _shown(text: str) -> str:
    return repr(text.partition("?")[0][:200])


def _invalid(message: str) -> AgentError:
    return AgentError("URL_INVALID", message)


def _outside(message: str) -> AgentError:
    return AgentError("URL_OUTSIDE_CONNECTION", message)
