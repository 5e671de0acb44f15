"""How bytes come over the network: by https only, wherever a redirect may lead, and never at a trickle."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, UnknownHandler

_CHUNK = 1 << 18
_SLOWEST = 1024  # bytes per second
_REDIRECTS = (301, 302, 303, 307, 308)


class TryAgainError(Exception):
    """What arrived is of no use, but the next attempt may fare better."""


class RefusedError(Exception):
    """This address will never do."""


# What may go wrong on the way and go well the next time.
PASSING = (TryAgainError, HTTPException, OSError, ValueError)


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost")


def open_url(url: str, timeout: float, start: int = 0, method: str = "GET") -> HTTPResponse:
    """Asks for `url` and returns the answer, whatever its status, for the caller to close.

    Args:
        url: https, or http on this very machine.
        timeout: seconds that the server may stay silent.
        start: first byte that is asked for.
        method: `GET` or `HEAD`.

    Raises:
        RefusedError: when the address, or one it redirects to, is not https.
        TryAgainError: when redirects go in circles.
        OSError, HTTPException, ValueError: when the network, the answer or the address is broken.
    """
    if urlsplit(url).scheme != "https" and not (urlsplit(url).scheme == "http" and _is_local(url)):
        raise RefusedError("only https addresses are accepted")
    headers = {"User-Agent": "tenfold", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    for _ in range(5):
        # Built by hand, since the ready-made opener also opens file: and ftp: addresses.
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


def reachable(url: str, timeout: float = 5.0) -> bool:
    """Tells within `timeout` seconds whether a server answers at `url` and has the file.

    Example:
        >>> reachable("https://tenfold.invalid/")
        False
    """
    answers: list[bool] = []

    def ask() -> None:
        try:
            with closing(open_url(url, timeout, method="HEAD")) as response:
                answers.append(response.status < 400)
        except (RefusedError, *PASSING):
            answers.append(False)

    # Looking up a name obeys no timeout where the network is dead, so a thread is left behind instead.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answers == [True]


def chunks(response: HTTPResponse, window: float) -> Iterator[bytes]:
    """Yields what arrives, and gives up on a server that keeps the line open with a trickle.

    Args:
        response: an answer with a body.
        window: seconds over which at least 1 KiB/s must arrive.

    Raises:
        TryAgainError: when a web page arrives, or too little.
        OSError, HTTPException: when the connection breaks.
    """
    chunk = response.read1(_CHUNK)
    if _is_page(response, chunk):
        raise TryAgainError("a web page arrived in place of the file")
    since, got = time.monotonic(), 0
    while chunk:
        yield chunk
        got += len(chunk)
        now = time.monotonic()
        if now - since >= window:
            if got < _SLOWEST * (now - since):
                raise TryAgainError(f"the server sent only {got} bytes in {now - since:.1f} s")
            since, got = now, 0
        chunk = response.read1(_CHUNK)


def _is_page(response: HTTPResponse, first: bytes) -> bool:
    start = first[:1024].lstrip().lower()
    looks_so = start.startswith(b"<") and (b"<html" in start or b"<!doctype html" in start)
    return looks_so or "text/html" in response.headers.get("Content-Type", "").lower()
