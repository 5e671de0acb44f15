"""Decodes many image files: in this process at first, and in worker processes when it takes longer.

A worker that dies takes nothing with it: the files that it had are decoded again one by one, in a process of their own.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import connection
from types import TracebackType
from typing import Generic, TypeVar

from tenfold.core.errors import TenfoldError
from tenfold.core.spawn import inheritance, leave_process_group
from tenfold.data.decode.decode import FileSource
from tenfold.data.decode.tasks import DecodedImage

Key = TypeVar("Key")
Decode = Callable[[FileSource], DecodedImage]
Item = tuple[Key, FileSource]

_SECONDS_ALONE = 0.25
"""How long this process decodes alone: about as long as a worker needs to start."""

_MAX_WORKERS = 32
_CHUNKS_PER_WORKER = 2
"""Chunks that are sent ahead for each worker, so that it never waits for the next."""

_MAX_CHUNK = 64
_CHUNK_PIXEL_BYTES = 4 << 20
_CHUNK_SOURCE_BYTES = 4 << 20


class DecodePool(Generic[Key]):
    """Decodes image files and reports each result; all are reported at the end of the `with` block.

    Args:
        decode: decodes one file; must be picklable and raise nothing.
        size: height and width of the decoded images, in pixels; large images are sent in small chunks.
        on_decoded: called in this process with the key and the result of each file, in any order.

    Example:
        >>> with DecodePool(decode_if_small, (64, 64), print) as pool:  # doctest: +SKIP
        ...     pool.put("cat", Path("cat.png"))
    """

    def __init__(self, decode: Decode, size: tuple[int, int], on_decoded: Callable[[Key, DecodedImage], None]) -> None:
        self._decode = decode
        self._on_decoded = on_decoded
        self._max_chunk = max(1, min(_MAX_CHUNK, _CHUNK_PIXEL_BYTES // (size[0] * size[1] * 3)))
        self._chunk: list[Item[Key]] = []
        self._chunk_bytes = 0
        self._seconds_alone = 0.0
        self._num_workers = _num_workers()
        self._executor: ProcessPoolExecutor | None = None
        self._first_worker: Future[None] | None = None
        self._pending: dict[Future[list[DecodedImage]], list[Item[Key]]] = {}

    def __enter__(self) -> "DecodePool[Key]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._chunk:
                    self._hand_out()
                while self._pending:
                    self._collect(None)
        finally:
            self._end()

    def put(self, key: Key, source: FileSource) -> None:
        """Adds a file.

        Args:
            key: passed to `on_decoded`.
            source: the path or the bytes of the file.

        Raises:
            TenfoldError: when workers end before they can decode anything.
        """
        self._chunk.append((key, source))
        self._chunk_bytes += len(source) if isinstance(source, bytes) else 0
        if len(self._chunk) == self._max_chunk or self._chunk_bytes > _CHUNK_SOURCE_BYTES:
            self._hand_out()

    def _hand_out(self) -> None:
        """Sends the chunk to the workers, or decodes it here while no worker is ready."""
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        self._collect(0)
        while self._pending and len(self._pending) >= _CHUNKS_PER_WORKER * self._num_workers:
            self._collect(None)
        if self._has_workers():
            self._send(chunk)
        else:
            self._decode_here(chunk)

    def _decode_here(self, chunk: list[Item[Key]]) -> None:
        start = time.perf_counter()
        for key, source in chunk:
            self._on_decoded(key, self._decode(source))
        self._seconds_alone += time.perf_counter() - start

    def _has_workers(self) -> bool:
        """Returns whether a worker is ready. The first is started once this process has decoded for long enough."""
        if self._first_worker is None and self._seconds_alone > _SECONDS_ALONE:
            self._start()
        if self._first_worker is None or not self._first_worker.done():
            return False
        if self._first_worker.exception() is not None:
            self._end()
            self._num_workers = 0
            return False
        return True

    def _start(self) -> None:
        """Starts the first worker without waiting for it; the others start when there is work for them."""
        # Where a process may have no children (a daemon, a program that embeds Python, a limit of the system), this
        # process decodes everything.
        num_workers, self._num_workers = self._num_workers, 0
        with suppress(OSError, RuntimeError, AssertionError, ImportError, TypeError):
            if num_workers:
                self._executor = _executor(num_workers)
                self._first_worker = _submit(self._executor, _arrive, self._decode)
                self._num_workers = num_workers

    def _send(self, chunk: list[Item[Key]]) -> None:
        assert self._executor is not None, "a chunk is only sent once a worker is ready"
        future: Future[list[DecodedImage]] = Future()
        try:
            future = _submit(self._executor, _decode_chunk, self._decode, [source for _, source in chunk])
        except BrokenProcessPool as error:
            future.set_exception(error)
        self._pending[future] = chunk

    def _collect(self, timeout: float | None) -> None:
        """Reports the results that have arrived; waits for at least one where `timeout` is None."""
        done, _ = wait(self._pending, timeout, FIRST_COMPLETED)
        if any(future.exception() for future in done):
            self._recover()
            return
        for future in done:
            self._report(self._pending.pop(future), future.result())

    def _report(self, chunk: list[Item[Key]], results: list[DecodedImage]) -> None:
        for (key, _), result in zip(chunk, results, strict=True):
            self._on_decoded(key, result)

    def _recover(self) -> None:
        """Goes on after a worker has died: decodes one by one what was sent, and starts new workers for the rest."""
        pending, self._pending = self._pending, {}
        suspects: list[Item[Key]] = []
        for future, chunk in pending.items():
            if future.exception() is None:
                self._report(chunk, future.result())
            else:
                suspects += chunk
        self._end()
        self._decode_isolated(suspects)
        self._start()
        if self._first_worker is not None:
            wait([self._first_worker])  # else this process would decode the next chunk, which may be deadly too

    def _decode_isolated(self, items: Iterable[Item[Key]]) -> None:
        """Decodes files one by one in a worker; a file that ends it becomes unreadable, and a new worker starts."""
        executor: ProcessPoolExecutor | None = None
        try:
            for key, source in items:
                if executor is None:
                    executor = _executor(1)
                    _submit(executor, _arrive, self._decode).result()
                try:
                    self._on_decoded(key, _submit(executor, _decode_chunk, self._decode, [source]).result()[0])
                except BrokenProcessPool:
                    _shut_down(executor)
                    executor = None
                    reason = "decoding it ended the process, often for lack of memory"
                    self._on_decoded(key, DecodedImage(b"", reason=reason))
        except BrokenProcessPool:
            raise TenfoldError(
                "a process that decodes images was ended, often for lack of memory; "
                "close other programs and run the command again"
            ) from None
        finally:
            if executor is not None:
                _shut_down(executor)

    def _end(self) -> None:
        executor, self._executor, self._first_worker = self._executor, None, None
        if executor is not None:
            _shut_down(executor)


def _executor(num_workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of torch hold
    return ProcessPoolExecutor(num_workers, context, initializer=_prepare_worker)


Result = TypeVar("Result")


def _submit(executor: ProcessPoolExecutor, task: Callable[..., Result], *arguments: object) -> "Future[Result]":
    with inheritance():  # the executor spawns a worker here where none is idle
        return executor.submit(task, *arguments)


def _shut_down(executor: ProcessPoolExecutor) -> None:
    if sys.version_info < (3, 11, 5) and getattr(executor, "_broken", False):
        # Else the executor waits forever for data that no worker reads: https://github.com/python/cpython/issues/94777
        with suppress(AttributeError, OSError):
            executor._call_queue._reader.close()  # type: ignore[attr-defined]
    if getattr(executor, "_broken", False):
        # A worker that was being started while another one died is not ended, and the executor would wait for it.
        for process in list((getattr(executor, "_processes", None) or {}).values()):
            with suppress(AttributeError, OSError, ValueError):  # it has ended meanwhile
                process.kill()
    executor.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    leave_process_group()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when its parent has ended, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _arrive(decode: Decode) -> None:
    """Does nothing: it succeeds when a worker has started and `decode` has reached it."""


def _decode_chunk(decode: Decode, sources: list[FileSource]) -> list[DecodedImage]:
    return [decode(source) for source in sources]


def _num_workers() -> int:
    from tenfold.core.devices import num_cores  # imports torch, which no worker needs

    cores = num_cores()
    return min(_MAX_WORKERS, cores) if cores > 1 else 0
