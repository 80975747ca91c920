"""A message is one printable line, whatever it quotes."""

import re

import pytest

from strokeseg.errors import DataError
from strokeseg.images.reading import read_scan
from tests.factories import scan_file


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\ud800", "\u2028", "\0", "\u202e"])
def test_a_message_is_one_printable_line_whatever_it_quotes(text):
    message = str(DataError(f"sub-{text}01: é is fine"))
    assert message.isprintable()
    assert "é is fine" in message
    assert str(DataError(message)) == message


def test_a_message_is_no_book():
    assert len(str(DataError("x" * 10**6))) <= 8000


def test_a_file_whose_name_holds_a_line_end_is_named_in_one_line(tmp_path):
    path = tmp_path / "a\nb.nii"
    path.write_bytes(scan_file(tmp_path, "plain").read_bytes()[:1000])
    with pytest.raises(DataError, match=re.escape("a\\nb.nii: its header claims")):
        read_scan(path)
