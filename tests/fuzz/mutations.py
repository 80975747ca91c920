"""Small damage to files: of bytes, of header fields, of JSON, of tables and of TOML."""

import gzip
import json
import math
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Mutation = Callable[[random.Random, bytes], bytes]

_NUMBERS = (0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, -32768, 65535, 2**31 - 1, -(2**31))
_LARGE = (2**32, 2**40, 2**62, 2**63 - 1, -(2**63))
_REALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e-6, 1e3, 1e6, 1e30, 3.4e38, math.nan, math.inf)
_TEXTS = ("", " ", "a", "a\nb", "a\tb", "\0", "\x1b[31m", "../..", "/", "é", "\u2028", "x" * 5000)
_JSON = (
    *(None, True, False, 0, -1, 1, 2, 3, 1.5, 1e308, -1e308, math.nan, math.inf, -math.inf),
    *(2**31, 2**53, 2**63, 2**64, 10**400, 10**9, [], {}, [[]], [0], [1, 1], [2, 2, 2], {"": 0}),
    *_TEXTS,
)
_TOML = (
    *("0", "1", "-1", "2", "1.5", "nan", "inf", "-inf", "1e400", "true", '""', '"x"', "'''\n'''"),
    *("[]", "{}", "[[]]", "[1]", "[1, 2]", "[0.5, 0.5]", "[1, 2, 3]", '["a", 1]', "1979-05-27"),
    *("07:32:00", "1" * 400, "9" * 5000, "0x" + "f" * 400, "[" * 3000, "{a=" * 1500, '"\\u0000"'),
    *('"a\\nb"', '"\\u001b[31m"', "1_000_000_000_000", "{a = 1, b = {c = []}}"),
)


def damage(rng: random.Random, data: bytes) -> bytes:
    """Change a few bytes: flipped, overwritten, cut out, doubled, put in, cut short."""
    content = bytearray(data)
    for _ in range(1 + min(int(rng.expovariate(0.5)), 12)):
        at = rng.randrange(len(content) + 1)
        length = min(1 + int(rng.expovariate(0.15)), 400)
        choice = rng.randrange(7)
        if choice == 0 and content:
            content[at % len(content)] ^= 1 << rng.randrange(8)
        elif choice == 1 and content:
            content[at % len(content)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif choice == 2:
            number = rng.choice(_NUMBERS + _LARGE)
            form = rng.choice(("<h", ">h", "<i", ">i", "<q", ">q", "<f", ">f"))
            size = struct.calcsize(form)
            wrapped = number % (1 << (8 * size))
            piece = wrapped.to_bytes(size, "little" if form[0] == "<" else "big")
            if form[1] == "f":
                piece = struct.pack(form, rng.choice(_REALS) * rng.choice((1, -1)))
            content[at : at + size] = piece
        elif choice == 3:
            del content[at : at + length]
        elif choice == 4:
            content[at:at] = content[at : at + length]
        elif choice == 5:
            content[at:at] = rng.randbytes(min(length, 40))
        else:
            del content[at:]
    return bytes(content)


def change_header(dtype: np.dtype[Any]) -> Mutation:
    """Make the mutation that sets fields of a binary header, in either byte order."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        if len(data) < dtype.itemsize:
            return damage(rng, data)
        swapped = dtype.newbyteorder("S")
        order = swapped if _is_swapped(data, dtype) else dtype
        header = np.frombuffer(data[: dtype.itemsize], order).copy()[0]
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            name = rng.choice(dtype.names or ())
            _set_field(rng, header, name)
        body = data[dtype.itemsize :]
        if rng.random() < 0.1:
            body = damage(rng, body)
        if rng.random() < 0.03:
            header = header.astype(swapped if order is dtype else dtype)
        return header.tobytes() + body

    return mutate


def change_packed(mutation: Mutation) -> Mutation:
    """Make the mutation of a gzip file: of its content, or of the stream itself."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        choice = rng.random()
        if choice < 0.35:
            return damage(rng, data)
        content = mutation(rng, unpacked(data))
        if choice < 0.4:
            content += bytes(rng.choice((1, 1 << 16, 1 << 21)))
        packed = bytearray(gzip.compress(content, rng.choice((0, 1, 9)), mtime=0))
        if choice > 0.9:  # a trailer that lies
            claim = rng.choice((0, len(content) * 2, len(content) + 1, rng.randrange(2**32)))
            packed[-4:] = (claim % 2**32).to_bytes(4, "little")
        elif choice > 0.85:
            packed[-8:-4] = rng.randbytes(4)
        elif choice > 0.8:
            packed += rng.choice((b"\0" * 20, bytes(packed), b"\x1f\x8b", b"rubbish"))
        elif choice > 0.75:
            packed = packed[: rng.randrange(len(packed))]
        return bytes(packed)

    return mutate


def unpacked(data: bytes, limit: int = 1 << 17) -> bytes:
    """Unpack as much of a gzip stream as can be, up to a limit."""
    try:
        return zlib.decompressobj(31).decompress(data, limit)
    except zlib.error:
        return b""


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Replace, drop, double or wrap a value somewhere in a JSON document."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return damage(rng, data)
    if rng.random() < 0.15 or not isinstance(content, dict | list):
        return damage(rng, data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_node(rng, content)
    try:
        text = json.dumps(content)
    except (ValueError, RecursionError):
        return damage(rng, data)
    if rng.random() < 0.02:
        text = text.replace("0", rng.choice(("[" * 5000, "9" * 5000, "1e999", '{"a":' * 3000)), 1)
    return text.encode("utf-8", "surrogatepass")


def change_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Change the header as JSON under its length, the length, or any bytes."""
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.2 or not 0 < length <= len(data) - 8:
        return damage(rng, data)
    header, body = change_json(rng, data[8 : 8 + length]), data[8 + length :]
    if rng.random() < 0.1:
        body = damage(rng, body)
    claimed = len(header) if rng.random() < 0.95 else rng.choice((0, 1, 2**40, 2**63, 2**64 - 1))
    return claimed.to_bytes(8, "little") + header + body


def change_toml(rng: random.Random, data: bytes) -> bytes:
    """Change values and lines of a TOML file, or any bytes."""
    if rng.random() < 0.2:
        return damage(rng, data)
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        key, equals, _value = lines[at].partition("=")
        choice = rng.randrange(8)
        if equals and choice < 5:
            lines[at] = f"{key}= {rng.choice(_TOML)}"
        elif choice == 5:
            lines.insert(rng.randrange(len(lines) + 1), lines.pop(at))
        elif choice == 6:
            lines.insert(at, lines[rng.randrange(len(lines))])
        else:
            lines[at] = rng.choice(("", "[a.b]", "[[models]]", "[" * 2000, "x.y.z = 1", "\0", "]"))
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def change_table(rng: random.Random, data: bytes) -> bytes:
    """Change cells, columns and rows of a table, or any bytes."""
    if rng.random() < 0.2:
        return damage(rng, data)
    text = data.decode("utf-8", "surrogateescape")
    mark = "\t" if "\t" in text else ","
    rows = [line.split(mark) for line in text.split("\n")]
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rows[rng.randrange(len(rows))]
        at = rng.randrange(len(row))
        choice = rng.randrange(7)
        if choice < 3:
            row[at] = rng.choice(
                (*_TEXTS, '"', '""', "'", '"a' + mark, "n/a", "NaN", "x" * 140_000)
            )
        elif choice == 3:
            row.insert(at, rng.choice(row))
        elif choice == 4 and len(row) > 1:
            del row[at]
        elif choice == 5:
            rows.insert(rng.randrange(len(rows) + 1), list(row))
        elif len(rows) > 1:
            rows.remove(row)
    mark = mark if rng.random() < 0.95 else rng.choice("\t,;\0")
    end = rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\x0b"))
    start = "\ufeff" if rng.random() < 0.05 else ""
    return (start + end.join(mark.join(row) for row in rows)).encode("utf-8", "surrogateescape")


def _is_swapped(data: bytes, dtype: np.dtype[Any]) -> bool:
    """Whether a NIfTI header is of the other byte order; MGH headers never are."""
    return "sizeof_hdr" in (dtype.names or ()) and data[:1] == b"\0"


def _set_field(rng: random.Random, header: Any, name: str) -> None:
    field = header[name]
    if field.dtype.kind in "SV":
        header[name] = rng.randbytes(field.dtype.itemsize)
        return
    flat = np.atleast_1d(np.array(field)).ravel()
    at = rng.randrange(flat.size)
    if flat.dtype.kind == "f":
        old = float(flat[at])
        near = (-old, old * 10, old / 10, old * 1.001, old + 1, old * 1e3)
        value: float = rng.choice(near + _REALS + tuple(-x for x in _REALS))
        with np.errstate(all="ignore"):
            flat[at] = value
    else:
        old = int(flat[at])
        number = rng.choice((old + 1, old - 1, old * 2, -old, *_NUMBERS, *_LARGE))
        bits = 8 * flat.dtype.itemsize
        wrapped = number % (1 << bits)
        signed = wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped
        flat[at] = signed if flat.dtype.kind == "i" else wrapped
    header[name] = flat.reshape(np.shape(field)) if np.shape(field) else flat[0]


def _change_node(rng: random.Random, content: Any) -> None:
    """Walk down to some node and change it."""
    place = content
    while place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys)
        below = place[key]
        if isinstance(below, dict | list) and below and rng.random() < 0.8:
            place = below
            continue
        choice = rng.randrange(10)
        if choice < 6:
            place[key] = rng.choice(_JSON)
        elif choice == 6:
            del place[key]
        elif choice == 7:
            place[key] = [below] if rng.random() < 0.5 else {"x": below}
        elif choice == 8 and isinstance(below, int | float):
            place[key] = rng.choice((-below, below + 1, below * 2, str(below), [below] * 3))
        elif isinstance(place, dict):
            place[rng.choice(("x", "", "a\nb", "__metadata__", *place))] = below
        else:
            place.insert(key, below)
        return
