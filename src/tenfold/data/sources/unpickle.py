"""Reads the pickled batches of CIFAR with a machine that can build nothing but data.

A pickle is a program, and Python's own reader runs it: it imports what the file names and calls it. This
machine knows only the instructions that CIFAR's files are made of. The few globals they name become inert
marks that no instruction can reach into; what numpy's marks stand for is rebuilt here as a uint8 array.

The instructions are listed in the standard library's `pickletools`.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError


class _RefusedError(Exception):
    """An instruction that no batch of CIFAR holds."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a global is here: a word, neither imported nor callable."""

    role: str


@dataclass(slots=True)
class _Array:
    """A numpy array whose content follows in a later instruction."""

    pixels: NDArray[np.uint8] | None = None


_ROLES = {
    "_codecs encode": "encode",  # how Python 3 writes bytes for Python 2
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",  # since numpy 2
    "numpy.core.numeric _frombuffer": "frombuffer",  # since pickle protocol 5
    "numpy._core.numeric _frombuffer": "frombuffer",
}
_UINT8 = _Mark("uint8")
_CONSTANTS: dict[bytes, object] = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
_CONTAINERS: dict[bytes, type[dict[object, object]] | type[list[object]]] = {b"}": dict, b"]": list}
_INTEGERS = {b"K": (1, False), b"M": (2, False), b"J": (4, True)}
_BYTES = {b"U": 1, b"T": 4, b"C": 1, b"B": 4, b"\x8e": 8, b"\x96": 8}  # code: bytes that hold the length
_TEXTS = {b"\x8c": 1, b"X": 4, b"\x8d": 8}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_STORES = {b"q": 1, b"r": 4}
_RECALLS = {b"h": 1, b"j": 4}
_SKIPS = {b"\x80": 1, b"\x95": 8}  # protocol number, frame length


def read_batch(data: bytes, name: str) -> dict[bytes, object]:
    """Returns the dictionary that a pickled batch holds, without running anything in it.

    Args:
        data: the whole file.
        name: what to call the file in an error.

    Returns:
        Values by name; they are bytes, text, numbers, lists, tuples, dictionaries or uint8 arrays.

    Raises:
        DataError: when the file is damaged, or holds an instruction, a global or an array no batch needs.
    """
    try:
        batch = _Machine(data).run()
        if not isinstance(batch, dict):
            raise _RefusedError(f"it holds a {type(batch).__name__}")
        return {_as_bytes(key): _finished(value) for key, value in batch.items()}
    except _RefusedError as error:
        reason = str(error)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        reason = f"it is damaged ({type(error).__name__})"
    raise DataError(
        f"{name} is refused: {reason}; expected a pickled dictionary of bytes, lists, numbers and uint8 "
        "arrays, as in CIFAR's own files; fetch the file again from a source you trust"
    )


def _as_bytes(key: object) -> bytes:
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode("latin-1", "replace")
    raise _RefusedError(f"a key is a {type(key).__name__}")


def _finished(value: object) -> object:
    if not isinstance(value, _Array):
        return value
    if value.pixels is None:
        raise _RefusedError("an array has no content")
    return value.pixels


class _Machine:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        while (code := self._take(1)) != b".":
            if not (self._push_value(code) or self._use_memo(code)):
                self._instruct(code)
        return self._stack.pop()

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise _RefusedError(f"it ends after {len(self._data)} bytes in the middle of a value")
        self._at += size
        return self._data[self._at - size : self._at]

    def _line(self) -> bytes:
        end = self._data.index(b"\n", self._at)
        return self._take(end + 1 - self._at)[:-1]

    def _number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _push_value(self, code: bytes) -> bool:
        push = self._stack.append
        if code in _INTEGERS:
            push(self._number(*_INTEGERS[code]))
        elif code in _BYTES:
            push(self._take(self._number(_BYTES[code])))
        elif code in _TEXTS:
            push(self._take(self._number(_TEXTS[code])).decode("utf-8", "surrogatepass"))
        elif code in _CONSTANTS:
            push(_CONSTANTS[code])
        elif code in _CONTAINERS:
            push(_CONTAINERS[code]())
        elif code == b"\x8a":
            push(self._number(self._number(1), signed=True))
        elif code in (b"I", b"L"):
            push(int(self._line().rstrip(b"L")))
        elif code == b"S":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of a backslash that escapes nothing
                push(self._line()[1:-1].decode("unicode_escape").encode("latin-1"))
        else:
            return False
        return True

    def _use_memo(self, code: bytes) -> bool:
        if code in _STORES:
            self._memo[self._number(_STORES[code])] = self._stack[-1]
        elif code in _RECALLS:
            self._stack.append(self._memo[self._number(_RECALLS[code])])
        elif code == b"\x94":
            self._memo[len(self._memo)] = self._stack[-1]
        elif code == b"p":
            self._memo[int(self._line())] = self._stack[-1]
        elif code == b"g":
            self._stack.append(self._memo[int(self._line())])
        elif code in _SKIPS:
            self._take(_SKIPS[code])
        else:
            return False
        return True

    def _instruct(self, code: bytes) -> None:
        if code in _TUPLES:
            items = [self._stack.pop() for _ in range(_TUPLES[code])]
            self._stack.append(tuple(reversed(items)))
        elif code in _INSTRUCTIONS:
            _INSTRUCTIONS[code](self)
        else:
            raise _RefusedError(f"it holds the instruction {code!r} at byte {self._at - 1}")

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def since_mark(self) -> list[object]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def push_items(self, build: Callable[[list[object]], object]) -> None:
        self._stack.append(build(self.since_mark()))

    def extend(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise _RefusedError(f"it appends to a {type(target).__name__}")
        target.extend(items)

    def update(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise _RefusedError(f"it sets items of a {type(target).__name__}")
        target.update(_pairs(items))

    def last(self, count: int) -> list[object]:
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def push_global(self) -> None:
        module, name = self._line(), self._line()
        self._stack.append(_marked(module.decode("utf-8"), name.decode("utf-8")))

    def push_stacked_global(self) -> None:
        module, name = self.last(2)
        self._stack.append(_marked(module, name))

    def reduce(self) -> None:
        function, arguments = self.last(2)
        if not isinstance(function, _Mark) or not isinstance(arguments, tuple):
            raise _RefusedError(f"it calls a {type(function).__name__}")
        self._stack.append(_stand_in(function.role, arguments))

    def build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5:
            _version, shape, kind, by_columns, content = state
            target.pixels = _pixels(content, kind, shape, "F" if by_columns else "C")
        elif target is not _UINT8:  # the state of a uint8 says nothing new
            raise _RefusedError(f"it sets the state of a {type(target).__name__}")


_INSTRUCTIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"(": _Machine.mark,
    b"a": lambda machine: machine.extend(machine.last(1)),
    b"e": lambda machine: machine.extend(machine.since_mark()),
    b"s": lambda machine: machine.update(machine.last(2)),
    b"u": lambda machine: machine.update(machine.since_mark()),
    b"t": lambda machine: machine.push_items(tuple),
    b"l": lambda machine: machine.push_items(list),
    b"d": lambda machine: machine.push_items(_pairs),
    b"c": _Machine.push_global,
    b"\x93": _Machine.push_stacked_global,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}


def _pairs(items: list[object]) -> dict[object, object]:
    # Only flat keys: the hash of a deeply nested tuple would exhaust the stack.
    for key in items[::2]:
        if not isinstance(key, (bytes, str, int)):
            raise _RefusedError(f"a key is a {type(key).__name__}")
    return dict(zip(items[::2], items[1::2], strict=True))


def _marked(module: object, name: object) -> _Mark:
    if not isinstance(module, str) or not isinstance(name, str):
        raise _RefusedError("it asks for a global without a name")
    role = _ROLES.get(f"{module} {name}")
    if role is None:
        raise _RefusedError(f"it asks for {module[:80]!r} {name[:80]!r}, which was not run")
    return _Mark(role)


def _stand_in(role: str, arguments: tuple[object, ...]) -> object:
    match role, arguments:
        case "encode", (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
        case "dtype", ("u1" | b"u1", *_):
            return _UINT8
        case "reconstruct", (_Mark("ndarray"), (0,), "b" | b"b"):
            return _Array()
        case "frombuffer", (content, kind, shape, str(order)):
            return _pixels(content, kind, shape, order)
    raise _RefusedError(f"it calls {role} in an unknown way")


def _pixels(content: object, kind: object, shape: object, order: str) -> NDArray[np.uint8]:
    if kind is not _UINT8 or not isinstance(content, bytes) or not isinstance(shape, tuple):
        raise _RefusedError("an array is not made of uint8 values")
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    if not len(shape) == len(sizes) <= 4 or math.prod(sizes) != len(content):
        raise _RefusedError(f"an array's shape does not fit its {len(content)} bytes")
    flat = np.frombuffer(content, dtype=np.uint8)
    return flat.reshape(sizes, order="F" if order == "F" else "C")
