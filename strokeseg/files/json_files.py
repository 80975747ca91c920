"""JSON objects: written whole, read with a limit, never half."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.errors import DataError, InputNotFoundError, ReadWriteError
from strokeseg.files.atomic import write_text

_MOST_BYTES = 1 << 24


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, whole or not at all, keys sorted.

    Paths become strings, NumPy numbers and arrays become numbers and lists, and numbers that are
    not finite become null, as JSON has no word for them.
    """
    text = json.dumps(_plain(content), indent=2, sort_keys=True, ensure_ascii=False)
    write_text(path, text + "\n")


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputNotFoundError
        There is no such file, or it may not be read.
    DataError
        It is no JSON object, or a huge one.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would keep the reader for ever
            raise InputNotFoundError(f"{path}: is no regular file")
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: is over 16 MB, which no record is")
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputNotFoundError(f"{path}: cannot be read ({error.strerror})") from error
    except OSError as error:
        raise ReadWriteError(f"{path}: reading failed ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON (cut or changed): run this case again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no record; it was changed, run this case again")
    return content
