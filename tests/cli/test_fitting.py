"""Tables on a narrow terminal: whole columns go, no name and no word is cut."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokeseg.cli.show import lines
from strokeseg.cli.show.fitting import fit_table

METRICS = ("case", "true ml", "found ml", "Dice", "HD95 (mm)", "surface distance (mm)", "F1", "n")
ROW = ("sub-stroke0001_ses-followup", "103.21", "98.30", "0.812", "12.53", "1.24", "0.667", "12")
PATH = "/archive/projects/stroke/derivatives/strokeseg/sub-0001/anat/sub-0001_label-L_mask.nii.gz"


def width_of(table):
    cells = zip(table.columns, *table.rows, strict=True)
    widest = [max(len(line) for cell in cell for line in cell.split("\n")) for cell in cells]
    return sum(widest) + 3 * len(widest) + 1


def test_a_table_that_fits_stays_as_it_is():
    table = fit_table(METRICS, [ROW], 200)
    assert (table.columns, table.rows, table.left_out) == (METRICS, (ROW,), ())


def test_the_last_columns_go_where_there_is_no_room_and_names_stay_whole():
    table = fit_table(METRICS, [ROW], 70)
    assert table.left_out == METRICS[len(table.columns) :] != ()
    assert table.rows[0] == ROW[: len(table.columns)]
    assert width_of(table) <= 70


def test_a_heading_wraps_between_its_words_before_a_column_goes():
    table = fit_table(METRICS, [ROW], 90)
    assert table.left_out == ()
    assert "surface\ndistance" in table.columns[5]


def test_a_path_breaks_behind_its_separators_and_loses_nothing():
    (cell,) = fit_table(("case", "file"), [("sub-0001", PATH)], 60).rows[0][1:]
    parts = cell.split("\n")
    assert "".join(parts) == PATH
    assert all(part[-1] in "/_-" for part in parts[:-1])


def test_a_text_breaks_between_its_words():
    why = "t1 and flair do not overlap in world space: register them, or leave one out"
    (cell,) = fit_table(("failed", "why"), [("sub-0001", why)], 50).rows[0][1:]
    assert " ".join(cell.split("\n")) == why


@given(
    st.lists(st.text("ab/_- é", max_size=60), min_size=1, max_size=8),
    st.integers(min_value=20, max_value=120),
)
def test_no_table_is_wider_than_asked_and_no_character_is_lost(cells, width):
    table = fit_table([f"c{i}" for i in range(len(cells))], [cells], width)
    assert width_of(table) <= width
    assert len(table.columns) + len(table.left_out) == len(cells)
    for before, after in zip(cells, table.rows[0], strict=False):
        assert "".join(before.split()) == "".join(after.split())


@pytest.mark.parametrize("wide", [False, True])
def test_on_a_terminal_of_80_columns_it_fits_unless_wide_is_asked_for(wide, monkeypatch, capsys):
    class Terminal(lines.Console):
        is_terminal = True

    monkeypatch.setattr(lines, "Console", Terminal)
    monkeypatch.setenv("COLUMNS", "80")
    left_out = lines.show_table((*METRICS, "why"), [(*ROW, PATH)], wide=wide)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert (left_out == ()) is wide
    assert ROW[0] in shown
    assert (PATH in shown) is wide
    if not wide:
        assert max(map(len, shown.splitlines())) <= 80


def test_where_stdout_is_no_terminal_a_table_is_as_wide_as_it_needs_to_be(capsys):
    assert lines.show_table(METRICS, [(PATH * 4, *ROW[1:])]) == ()
    assert PATH * 4 in capsys.readouterr().out
