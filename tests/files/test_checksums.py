import hashlib

import pytest

from strokeseg.errors import InputNotFoundError
from strokeseg.files.checksums import sha256


def test_checksum_is_of_all_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_missing_file_has_no_checksum(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputNotFoundError, match="cannot be read to be checked") as caught:
            sha256(path)
        assert caught.value.exit_code == 66
