"""Fixtures of every test: one CPU thread, a cache folder of the test run, and no network beyond this machine."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["harness.skip_rule", "harness.compiler"]

# Else each process that a test starts compiles all sources anew, and each run rewrites the assertions of all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keeps PyTorch to one thread: small work is faster so, and rounds the same on every machine."""
    import torch

    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(previous)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Gives the tests, and the processes they start, a cache folder apart from the user's."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENFOLD_CACHE", str(cache))
        yield cache


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Allows connections to this machine and refuses all others, as a machine without a network does."""
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def resolve_local(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    def connect_local(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not _is_local(address[0]):
            raise OSError(101, os.strerror(101))
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve_local)
        patch.setattr(socket.socket, "connect", connect_local)
        yield


def _is_local(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    return name in ("localhost", "::1", "0.0.0.0") or name.startswith("127.")
