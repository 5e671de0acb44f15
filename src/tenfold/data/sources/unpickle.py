"""Reads the pickled batches of CIFAR without running anything in them.

A pickle is a program that imports and calls what it names. Here `find_class` returns inert stubs for the few names that
CIFAR's files contain and refuses every other one. The instructions are checked before, because a few of them cost the
unpickler time or memory without any call; they are described in the standard library's `pickletools`.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pickle import UnpicklingError

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.text import one_line

_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_POPS = {"APPEND": 1, "SETITEM": 2, "BUILD": 1, "REDUCE": 2, "STACK_GLOBAL": 2, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_POPS_TO_MARK = {"TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS"}
_NUMBERS = {"NONE", "NEWTRUE", "NEWFALSE", "INT", "LONG", "LONG1", "BININT", "BININT1", "BININT2"}
_BYTES = {"STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "GLOBAL", "STACK_GLOBAL", "REDUCE"}
_CONTAINERS = {"MARK", "EMPTY_DICT", "DICT", "EMPTY_LIST", "LIST", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"}
_PUSHES = _NUMBERS | _BYTES | _TEXTS | _CONTAINERS
_INSTRUCTIONS = _PUTS | _GETS | _POPS.keys() | _POPS_TO_MARK | _PUSHES | {"PROTO", "FRAME", "STOP"}
_MAX_MEMO_INDEX = 1 << 20


def read_batch(data: bytes, name: str) -> dict[bytes, object]:
    """Returns the dictionary that a pickled batch contains, without running anything in it.

    Args:
        data: the whole file.
        name: what an error message calls the file.

    Returns:
        Values by name: bytes, text, numbers, lists, tuples, dictionaries or uint8 arrays.

    Raises:
        DataError: when the file is damaged, or contains an instruction, a name or an array that no batch needs.
    """
    try:
        _check_instructions(data)
        batch = _Unpickler(data).load()
        if not isinstance(batch, dict):
            raise UnpicklingError(f"it contains a {type(batch).__name__}")
        return {_key(key): _value(value) for key, value in batch.items()}
    except UnpicklingError as error:
        reason = one_line(str(error))[:200]
    except Exception as error:  # the unpickler raises nearly anything for damaged data
        reason = f"it is damaged ({type(error).__name__})"
    raise DataError(
        f"{name} is refused: {reason}; expected a pickled dictionary of bytes, lists, numbers and uint8 "
        "arrays, as in CIFAR's own files; download the file again from a source you trust"
    )


def _check_instructions(data: bytes) -> None:
    """Raises an error for instructions that no batch needs, or that would cost far more than the file is large.

    `genops` itself refuses lengths that exceed the file. What remains is a huge index of the memo, for which the
    unpickler allocates a table, and tuples as dictionary keys: hashing nested tuples takes a stack frame per level, and
    twice the time for each level that contains the level below twice. So the stack is followed to see what becomes a
    key.
    """
    stack: list[str] = []  # for each value the instruction that pushed it
    memo: dict[int, str] = {}
    for opcode, argument, position in pickletools.genops(data):
        name = opcode.name
        if name not in _INSTRUCTIONS:
            raise UnpicklingError(f"it contains the instruction {name} at byte {position}")
        if name in _PUTS:
            index = len(memo) if name == "MEMOIZE" else argument
            if not isinstance(index, int) or index > _MAX_MEMO_INDEX:
                raise UnpicklingError(f"it numbers a value {argument} at byte {position}")
            memo[index] = stack[-1]
        elif name in _GETS:
            stack.append(memo[argument or 0])
        elif name in _POPS_TO_MARK:
            mark = len(stack) - 1 - stack[::-1].index("MARK")
            popped = stack[mark + 1 :]
            del stack[mark:]
        elif name in _POPS:
            popped = stack[-_POPS[name] :]
            del stack[-_POPS[name] :]
        if name in ("SETITEM", "SETITEMS", "DICT") and any("TUPLE" in key for key in popped[::2]):
            raise UnpicklingError("a key is a tuple")
        if name in _PUSHES:
            stack.append(name)


class _Stub:
    """Stands for a name that CIFAR's files contain. A pickle cannot set its attributes.

    Args:
        call: returns what a call of the name gives; a pickle can call nothing else.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., object] | None = None) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> object:
        if self._call is None:
            raise UnpicklingError("it calls a name that is no function")
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        if self is not _UINT8:  # numpy writes a state for uint8, which says nothing new
            raise UnpicklingError("it sets the state of a function")


class _Array:
    """Stands for a numpy array; a later instruction sets its content."""

    __slots__ = ("pixels",)

    def __init__(self) -> None:
        self.pixels: NDArray[np.uint8] | None = None

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _version, shape, dtype, is_fortran, content = state
        self.pixels = _pixels(content, dtype, shape, "F" if is_fortran else "C")


def _dtype(name: object, *_flags: object) -> _Stub:
    if name not in ("u1", b"u1"):
        raise UnpicklingError("an array is not made of uint8 values")
    return _UINT8


def _reconstruct(kind: object, shape: object, dtype: object) -> _Array:
    if kind is not _NDARRAY or shape != (0,) or dtype not in ("b", b"b"):
        raise UnpicklingError("it makes an object other than an array")
    return _Array()


def _pixels(content: object, dtype: object, shape: object, order: str) -> NDArray[np.uint8]:
    if dtype is not _UINT8 or not isinstance(content, bytes | bytearray) or not isinstance(shape, tuple):
        raise UnpicklingError("an array is not made of uint8 values")
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    if not len(shape) == len(sizes) <= 4 or math.prod(sizes) != len(content):
        raise UnpicklingError(f"an array's shape does not fit its {len(content)} bytes")
    flat = np.frombuffer(content, dtype=np.uint8)
    return flat.reshape(sizes, order="F" if order == "F" else "C")


_UINT8, _NDARRAY = _Stub(), _Stub()
_STUBS = {
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _Stub(_dtype),
    "numpy.core.multiarray _reconstruct": _Stub(_reconstruct),
    "numpy._core.multiarray _reconstruct": _Stub(_reconstruct),  # since numpy 2
    "numpy.core.numeric _frombuffer": _Stub(_pixels),  # since pickle protocol 5
    "numpy._core.numeric _frombuffer": _Stub(_pixels),
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that finds stubs only."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._encodable = len(data)

    def find_class(self, module: str, name: str) -> _Stub:
        stub = _Stub(self._encode) if (module, name) == ("_codecs", "encode") else _STUBS.get(f"{module} {name}")
        if stub is None:
            raise UnpicklingError(f"it asks for {module[:80]!r} {name[:80]!r}, which was not run")
        return stub

    def _encode(self, text: str, codec: str) -> bytes:
        """`_codecs.encode`: how Python 3 writes bytes for Python 2."""
        self._encodable -= len(text)
        if codec not in ("latin1", "latin-1") or self._encodable < 0:
            raise UnpicklingError("it encodes text in a way that no batch needs")
        return text.encode("latin-1")


def _key(key: object) -> bytes:
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode("latin-1", "replace")
    raise UnpicklingError(f"a key is a {type(key).__name__}")


def _value(value: object) -> object:
    if not isinstance(value, _Array):
        return value
    if value.pixels is None:
        raise UnpicklingError("an array has no content")
    return value.pixels
