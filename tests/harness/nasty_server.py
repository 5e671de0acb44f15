"""A web server on a free local port that misbehaves on demand."""

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A served file, the fault of each request, and the requests that arrived.

    Args:
        content: the file at every address.
        faults: names of faults, one for each GET in turn; the last one repeats. See `FAULTS`.
    """

    content: bytes
    faults: Sequence[str] = ("none",)
    url: str = ""
    ranges: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, asked_range: str) -> str:
        with self.lock:
            self.ranges.append(asked_range)
            return self.faults[min(len(self.ranges), len(self.faults)) - 1]


@contextmanager
def serving(content: bytes, *faults: str) -> Iterator[Served]:
    """Serves `content` until the block ends; the n-th GET meets the n-th fault."""
    served = Served(content, faults or ("none",))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    server.daemon_threads = False
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            fault = served.faults[0]
            if fault == "silent":
                served.stop.wait(5)
                return
            self.send_response(int(fault) if fault.isdecimal() else 200)
            self.end_headers()

        def do_GET(self) -> None:
            fault = served.next_fault(self.headers.get("Range", ""))
            with suppress(ConnectionError):
                FAULTS.get(fault, _status)(Answer(self, served, fault))

    return Handler


@dataclass
class Answer:
    """One request and the methods to answer it."""

    handler: BaseHTTPRequestHandler
    served: Served
    fault: str

    def start(self) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.handler.headers.get("Range", ""))
        return int(match[1]) if match else 0

    def head(self, status: int = 200, **headers: object) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), str(value))
        self.handler.end_headers()

    def body(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def whole_head(self, length: int | None = None) -> bytes:
        """Sends a correct header, for a range if one was requested, and returns the body that belongs to it."""
        start, content = self.start(), self.served.content
        rest = content[start:]
        span = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self.head(206 if start else 200, Content_Length=len(rest) if length is None else length, **span)
        return rest


def _honest(answer: Answer) -> None:
    answer.body(answer.whole_head())


def _truncates(answer: Answer) -> None:
    rest = answer.whole_head()
    answer.body(rest[: len(rest) // 2])


def _resets(answer: Answer) -> None:
    _truncates(answer)
    # Closing with a linger time of 0 sends a reset instead of an orderly end.
    connection = answer.handler.connection
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _understates(answer: Answer) -> None:
    length = (len(answer.served.content) - answer.start()) // 2
    answer.body(answer.whole_head(length))


def _overstates(answer: Answer) -> None:
    answer.body(answer.whole_head(len(answer.served.content) + 1000))


def _alters(answer: Answer) -> None:
    rest = bytearray(answer.whole_head())
    rest[len(rest) // 2] ^= 1
    answer.body(bytes(rest))


def _page(answer: Answer) -> None:
    answer.head(Content_Type="text/html; charset=utf-8")
    answer.body(b"<html><body>Please log in</body></html>")


def _disguised_page(answer: Answer) -> None:
    answer.head(Content_Type="application/gzip")
    answer.body(b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>")


def _endless(answer: Answer) -> None:
    answer.head()
    answer.body(answer.served.content)
    while not answer.served.stop.is_set():
        answer.body(bytes(65536))


def _ignores_range(answer: Answer) -> None:
    answer.head(Content_Length=len(answer.served.content))
    answer.body(answer.served.content)


def _wrong_range(answer: Answer) -> None:
    start = answer.start()
    content = answer.served.content
    if not start:
        return _honest(answer)
    answer.head(206, Content_Range=f"bytes {start - 10}-{len(content) - 1}/{len(content)}")
    return answer.body(content[start - 10 :])


def _unrequested_range(answer: Answer) -> None:
    content = answer.served.content
    answer.head(206, Content_Range=f"bytes 10-{len(content) - 1}/{len(content)}")
    answer.body(content[10:])


def _refuses_range(answer: Answer) -> None:
    return answer.head(416) if answer.start() else _honest(answer)


def _silent(answer: Answer) -> None:
    answer.served.stop.wait(5)


def _stalls(answer: Answer) -> None:
    rest = answer.whole_head()
    answer.body(rest[: len(rest) // 2])
    answer.served.stop.wait(5)


def _trickles(answer: Answer) -> None:
    for byte in answer.whole_head():
        if answer.served.stop.wait(0.02):
            return
        answer.body(bytes([byte]))


def _empty(answer: Answer) -> None:
    answer.head()


def _empty_with_length(answer: Answer) -> None:
    answer.head(Content_Length=0)


def _garbage(answer: Answer) -> None:
    answer.body(b"\x00\xffthis is no HTTP\r\n\r\n")


def _closes(answer: Answer) -> None:
    answer.handler.connection.shutdown(socket.SHUT_RDWR)


def _bad_chunks(answer: Answer) -> None:
    answer.handler.protocol_version = "HTTP/1.1"
    answer.handler.close_connection = True
    answer.head(Transfer_Encoding="chunked")
    answer.body(b"400\r\n" + answer.served.content[:1024] + b"\r\nno number\r\n")


def _redirects(location: str) -> Callable[[Answer], None]:
    return lambda answer: answer.head(302, Location=location.format(url=answer.served.url))


def _status(answer: Answer) -> None:
    answer.head(int(answer.fault), Content_Type="text/plain")
    answer.body(b"no")


FAULTS: dict[str, Callable[[Answer], None]] = {
    "none": _honest,
    "truncates": _truncates,
    "resets": _resets,
    "understates the length": _understates,
    "overstates the length": _overstates,
    "alters a bit": _alters,
    "page": _page,
    "page in disguise": _disguised_page,
    "endless": _endless,
    "ignores the range": _ignores_range,
    "wrong range": _wrong_range,
    "unasked range": _unrequested_range,
    "refuses the range": _refuses_range,
    "silent": _silent,
    "stalls": _stalls,
    "trickles": _trickles,
    "empty": _empty,
    "empty with length": _empty_with_length,
    "garbage": _garbage,
    "hangs up": _closes,
    "bad chunks": _bad_chunks,
    "redirects to http": _redirects("{url}/elsewhere"),
    "redirects to file": _redirects("file:///etc/hostname"),
    "redirects to ftp": _redirects("ftp://127.0.0.1/file"),
    "redirects to data": _redirects("data:text/plain,hello"),
    "redirects to nowhere": _redirects(""),
}
STATUSES = ("400", "403", "404", "410", "416", "418", "429", "500", "502", "503", "504")
