"""HTTP requests: https only, wherever a redirect leads, and no connection that only trickles."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, UnknownHandler

_CHUNK = 1 << 18
_MIN_BYTES_PER_SECOND = 1024
_REDIRECTS = (301, 302, 303, 307, 308)


class TryAgainError(Exception):
    """The answer is useless, but another attempt may succeed."""


class RefusedError(Exception):
    """This address never works."""


TEMPORARY_ERRORS = (TryAgainError, HTTPException, OSError, ValueError)
"""Errors after which another attempt may succeed."""


def open_url(url: str, timeout: float, start: int = 0, method: str = "GET") -> HTTPResponse:
    """Requests `url` and returns the response, whatever its status; the caller closes it.

    Args:
        url: https, or http on this machine.
        timeout: seconds that the server may be silent.
        start: first byte to request.
        method: `GET` or `HEAD`.

    Raises:
        RefusedError: when the address, or one that it redirects to, is not https.
        TryAgainError: when redirects go in circles.
        OSError, HTTPException, ValueError: when the network, the response or the address is broken.
    """
    if urlsplit(url).scheme != "https" and not (urlsplit(url).scheme == "http" and _is_local(url)):
        raise RefusedError("only https addresses are accepted")
    headers = {"User-Agent": "tenfold", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    for _ in range(5):
        # Built by hand, because the default opener also opens file: and ftp: addresses.
        opener = OpenerDirector()
        proxies = ProxyHandler({} if _is_local(url) else None)
        for handler in (proxies, HTTPHandler(), HTTPSHandler(), UnknownHandler()):
            opener.add_handler(handler)
        request = Request(url, headers=headers, method=method)
        response = cast(HTTPResponse, opener.open(request, timeout=timeout))
        if response.status not in _REDIRECTS:
            return response
        url = urljoin(url, response.headers.get("Location", ""))
        response.close()
        if urlsplit(url).scheme != "https":
            raise RefusedError(f"redirected to {url!r}, which is not https")
    raise TryAgainError("redirected in circles")


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost")


def reachable(url: str, timeout: float = 5.0) -> bool:
    """Returns within `timeout` seconds whether a server answers at `url` and has the file.

    Example:
        >>> reachable("https://tenfold.invalid/")
        False
    """
    answers: list[bool] = []

    def ask() -> None:
        try:
            with closing(open_url(url, timeout, method="HEAD")) as response:
                answers.append(response.status < 400)
        except (RefusedError, *TEMPORARY_ERRORS):
            answers.append(False)

    # A name lookup ignores timeouts where the network is down, so the request has a thread that may be left behind.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answers == [True]


def chunks(response: HTTPResponse, window: float) -> Iterator[bytes]:
    """Yields the body of a response in chunks.

    Args:
        response: a response with a body.
        window: seconds over which at least 1 KiB/s must arrive.

    Raises:
        TryAgainError: when a web page arrives instead of a file, or too little.
        OSError, HTTPException: when the connection breaks.
    """
    chunk = response.read1(_CHUNK)
    if _is_web_page(response, chunk):
        raise TryAgainError("a web page arrived instead of the file")
    window_start, num_bytes = time.monotonic(), 0
    while chunk:
        yield chunk
        num_bytes += len(chunk)
        now = time.monotonic()
        if now - window_start >= window:
            if num_bytes < _MIN_BYTES_PER_SECOND * (now - window_start):
                raise TryAgainError(f"the server sent only {num_bytes} bytes in {now - window_start:.1f} s")
            window_start, num_bytes = now, 0
        chunk = response.read1(_CHUNK)


def _is_web_page(response: HTTPResponse, first: bytes) -> bool:
    start = first[:1024].lstrip().lower()
    is_html = start.startswith(b"<") and (b"<html" in start or b"<!doctype html" in start)
    return is_html or "text/html" in response.headers.get("Content-Type", "").lower()
