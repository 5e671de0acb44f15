"""Tests of the CIFAR unpickler: real batches are read, hostile ones are refused."""

import pickle
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.sources.unpickle import read_batch

PIXELS = np.arange(2 * 3072, dtype=np.uint64).astype(np.uint8).reshape(2, 3072)
BATCH = {b"data": PIXELS, b"labels": [3, 9], b"filenames": [b"cat.png", b"truck.png"], b"batch_label": b"one"}


def short(text: bytes) -> bytes:
    """Python 2's `SHORT_BINSTRING`."""
    return b"U" + bytes([len(text)]) + text


def python2_pickle(shape: bytes = b"K\x02M\x00\x0c\x86", kind: bytes = b"u1") -> bytes:
    """A batch byte for byte as Python 2's cPickle writes it by protocol 2."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85"
        + short(b"b")
        + b"\x87Rq\x03(K\x01"
        + shape
        + b"cnumpy\ndtype\nq\x04"
        + short(kind)
        + b"K\x00K\x01\x87Rq\x05(K\x03"
        + short(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", PIXELS.nbytes)
        + PIXELS.tobytes()
        + b"tb"
    )
    labels = b"]q\x06(K\x03K\x09e"
    return b"\x80\x02}q\x07(" + short(b"data") + array + short(b"labels") + labels + b"u."


TEXT_PICKLE = (
    b"(dp1\nS'num'\np2\nI10000\nsS'label_names'\np3\n(lp4\nS'air\\x41plane'\np5\naS\"b'ird\"\np6\nasS'n'\nL7L\ns."
)


@pytest.mark.parametrize("numpy_module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_batches_that_python_3_wrote_are_read(protocol: int, numpy_module: bytes) -> None:
    data = pickle.dumps(BATCH, protocol=protocol)
    for written in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        if protocol < 4:
            data = data.replace(b"c" + written, b"c" + numpy_module)
    batch = read_batch(data, "data_batch_1")
    np.testing.assert_array_equal(batch.pop(b"data"), PIXELS)
    assert batch == {key: value for key, value in BATCH.items() if key != b"data"}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_both_memory_orders_are_read(protocol: int, order: str) -> None:
    data = pickle.dumps({"data": np.array(PIXELS, order=order)}, protocol=protocol)
    np.testing.assert_array_equal(read_batch(data, "batch")[b"data"], PIXELS)


def test_batches_that_python_2_wrote_are_read() -> None:
    batch = read_batch(python2_pickle(), "data_batch_1")
    np.testing.assert_array_equal(batch[b"data"], PIXELS)
    assert batch[b"labels"] == [3, 9]
    assert np.array_equal(pickle.loads(python2_pickle(), encoding="bytes")[b"data"], PIXELS)


def test_the_text_protocol_of_python_2_is_read() -> None:
    expected = {b"num": 10000, b"label_names": [b"airAplane", b"b'ird"], b"n": 7}
    assert read_batch(TEXT_PICKLE, "batches.meta") == expected
    assert pickle.loads(TEXT_PICKLE, encoding="bytes") == expected


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[object, ...]:
        return self.reduced


def global_call(module: str, name: str, argument: bytes = b"echo") -> bytes:
    return f"c{module}\n{name}\n".encode() + short(argument) + b"\x85R."


NAMES = [
    "os system", "posix system", "nt system", "builtins eval", "builtins exec", "__builtin__ eval",
    "__builtin__ execfile", "builtins __import__", "builtins getattr", "builtins open", "builtins compile",
    "subprocess Popen", "subprocess check_output", "importlib import_module", "pickle loads", "_pickle loads",
    "numpy load", "numpy core.multiarray._reconstruct", "numpy.core.multiarray fromstring", "numpy memmap",
    "numpy fromfile", "numpy.f2py.crackfortran myeval", "numpy.testing._private.utils runstring", "numpy matrix",
    "torch load", "torch.storage _load_from_bytes", "socket socket", "webbrowser open", "pty spawn",
    "shutil rmtree", "ctypes CDLL", "code interact", "timeit timeit", "runpy run_path", "sys exit", "sys modules",
    "types CodeType", "types FunctionType", "operator attrgetter", "functools partial", "copyreg _reconstructor",
    "copy_reg _reconstructor", "codecs encode", "_codecs decode", "_codecs lookup", "__main__ main", "bdb Bdb",
    "tenfold.core.durable disk", "asyncio run", "multiprocessing.util spawnv_passfds", "site main", " ", "os \x00",
]  # fmt: skip
CRAFTED = {
    "stacked global": b"\x80\x04" + b"\x8c\x02os" + b"\x8c\x06system" + b"\x93" + short(b"echo") + b"\x85R.",
    "global without names": b"\x80\x04K\x01K\x02\x93.",
    "inst": b"(" + short(b"echo") + b"ios\nsystem\n.",
    "obj": b"(cos\nsystem\n" + short(b"echo") + b"o.",
    "newobj": b"cnumpy\nndarray\nK\x01\x85\x81.",
    "newobj with keywords": b"cnumpy\nndarray\n)}\x92.",
    "extension code": b"\x82\x01.",
    "persistent id": b"P1\n.",
    "binary persistent id": b"K\x01Q.",
    "call of bytes": short(b"x") + b")R.",
    "call of a call": b"cnumpy\ndtype\n" + short(b"u1") + b"\x85R)R.",
    "call of ndarray": b"cnumpy\nndarray\nK\x05\x85\x85R.",
    "dtype of objects": b"cnumpy\ndtype\n" + short(b"O8") + b"\x85R.",
    "dtype of records": b"cnumpy\ndtype\n](" + short(b"a") + short(b"u1") + b"te\x85R.",
    "encode by another codec": b"c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00zip\x86R.",
    "reconstruct another class": b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
    "state of a mark": b"cnumpy\ndtype\n}U\x04roleU\x03newsb.",
    "state of a mark by slots": b"cnumpy\ndtype\nN}U\x04roleU\x03news\x86b.",
    "state of a dictionary": b"}}U\x01aK\x01sb.",
    "state of an array": b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R}b.",
    "items of a list": b"]K\x01K\x01s.",
    "appending to a dictionary": b"}K\x01a.",
    "items of an array": b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87RK\x01K\x01s.",
    "array without content": b"}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Rs.",
    "terabyte of bytes": b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "exabytes of bytearray": b"\x96" + struct.pack("<Q", 1 << 62) + b"x.",
    "negative length": b"T" + struct.pack("<i", -1) + b"x.",
    "huge memo index": b"K\x01r\xff\xff\xff\xff.",
    "memo that was never filled": b"j\xff\xff\xff\xff.",
    "huge number": b"I" + b"9" * 100_000 + b"\n.",
    "long of two gigabytes": b"\x8b\xff\xff\xff\x7f.",
    "float": b"G\x00\x00\x00\x00\x00\x00\x00\x00.",
    "set": b"\x8f.",
    "next buffer": b"\x97.",
    "pop below the ground": b"00000.",
    "tuple of nothing": b"\x87.",
    "mark that is not there": b"t.",
    "deep key": b"}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
    "laughs": b"](" + b"K\x01" + b"e" + b"".join(b"q%c(%se" % (i, b"h%c" % i * 9) for i in range(60)) + b"\x93.",
    "odd items": b"}(K\x01u.",
    "not a dictionary": b"K\x01.",
    "empty": b"",
    "stop alone": b".",
    "no stop": b"}",
    "unknown instruction": b"\xfe.",
    "text instead": b"<html><body>not found</body></html>",
    "bytes that are no text": b"X\x02\x00\x00\x00\xff\xfe.",
}  # fmt: skip
HOSTILE = {name: global_call(*name.split(" ", 1)) for name in NAMES} | CRAFTED


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_in_one_line(name: str) -> None:
    for data in (HOSTILE[name], b"\x80\x02" + HOSTILE[name]):
        with pytest.raises(DataError, match=r"^data_batch_1 is refused: .*; expected") as caught:
            read_batch(data, "data_batch_1")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NAMES if name.strip()])
def test_calls_inside_a_batch_are_refused_by_name(name: str) -> None:
    inside = b"}(" + short(b"data") + HOSTILE[name][:-1] + b"u."
    with pytest.raises(DataError, match=r"it asks for .*, which was not run"):
        read_batch(inside, "batch")


BOMBS = {
    "frame that is only declared": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"}.",
    "memo table of 32 GB": b"}r\xff\xff\xff\xff.",
    "key that takes years to hash": b"})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.",
    "such a key behind a list": b"})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"(uK\x01s.",
    "text that is encoded again and again": b"}X" + struct.pack("<I", 1 << 20) + bytes(1 << 20)
    + b"q\x00X\x06\x00\x00\x00latin1q\x010]" + b"c_codecs\nencode\nh\x00h\x01\x86Ra" * 5000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_nothing(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="is refused"):
            read_batch(BOMBS[name], "batch")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", range(6))
def test_calls_that_python_pickles_are_refused(protocol: int) -> None:
    import os

    nested = Calls(os.system, Calls(eval, "'echo'"))
    for value in (Calls(eval, "1"), Calls(exec, "1"), nested, Calls(dict, state={"a": nested}), {1, 2}, 1.5, 2j):
        with pytest.raises(DataError, match="is refused"):
            read_batch(pickle.dumps({b"data": value}, protocol=protocol), "batch")


@pytest.mark.parametrize(
    "array",
    [np.zeros(3), np.array([None]), np.zeros(2, "u1,u1"), np.array(["a"]), np.zeros((1,) * 5, np.uint8)],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match="is refused"):
        read_batch(pickle.dumps({b"data": array}, protocol=2), "batch")


@pytest.mark.parametrize("shape", [b"K\x01K\x02\x86", b"J\xff\xff\xff\xffM\x00\x0c\x86", b"NN\x86", b"]", b"K\x02"])
def test_an_array_whose_shape_does_not_fit_is_refused(shape: bytes) -> None:
    with pytest.raises(DataError, match="is refused: an array"):
        read_batch(python2_pickle(shape), "batch")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_cut_and_altered_batches_never_crash(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([python2_pickle(), TEXT_PICKLE, pickle.dumps(BATCH, 4), b""]))
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4)) if broken else 0):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    broken += data.draw(st.binary(max_size=20))
    try:
        batch = read_batch(bytes(broken), "batch")
    except DataError:
        return
    assert isinstance(batch, dict)


AUDIT = """
import pickle, sys
from tenfold.core.errors import DataError
from tenfold.data.sources.unpickle import read_batch
corpus = pickle.load(open(sys.argv[1], "rb"))
seen = []
def hook(event, arguments):
    if event.split(".")[0] in ("exec", "compile", "import", "open", "os", "subprocess", "pickle", "socket", "ctypes"):
        seen.append(event)
sys.addaudithook(hook)
refused = 0
for data in corpus:
    try:
        read_batch(data, "batch")
    except DataError:
        refused += 1
events = list(seen)
print(refused, events)
"""


def test_nothing_is_imported_opened_or_run(tmp_path) -> None:
    corpus = [*HOSTILE.values(), python2_pickle()]
    (tmp_path / "corpus").write_bytes(pickle.dumps(corpus))
    command = [sys.executable, "-c", AUDIT, str(tmp_path / "corpus")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.strip() == f"{len(HOSTILE)} []"
    assert len(HOSTILE) >= 90


def test_the_audit_notices_pythons_own_unpickler(tmp_path) -> None:
    (tmp_path / "corpus").write_bytes(pickle.dumps([global_call("builtins", "eval", b"1+1")]))
    planted = AUDIT.replace('read_batch(data, "batch")', "pickle.loads(data)").replace("(DataError)", "()")
    command = [sys.executable, "-c", planted, str(tmp_path / "corpus")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "pickle.find_class" in output
    assert output.startswith("0 ")
