"""`strokeseg batch` and `strokeseg collect` as a user sees them."""

import json

import pytest

from strokeseg.cli import run
from tests.cohort.cohorts import hidden, make_case, make_model
from tests.tiny_models import isolate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    make_model(tmp_path / "model")
    for name in ("a", "b", "c"):
        make_case(tmp_path / "in", name)
    return tmp_path


def batch(folder, *arguments, source="in"):
    command = ["batch", str(folder / source), str(folder / "out"), "--model", str(folder / "model")]
    return run([*command, "--fast", *arguments])


def break_case(folder, name):
    path = folder / "in" / name / f"{name}_flair.nii.gz"
    path.write_bytes(path.read_bytes()[:1500])


def status_by_case(folder):
    lines = (folder / "out" / "cohort.tsv").read_text().splitlines()
    return dict(line.split("\t")[:2] for line in lines[1:])


def test_a_cohort_is_done_and_told_case_by_case(folder, capsys):
    assert batch(folder) == 0
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["[1/3] a", "[2/3] b", "[3/3] c"]
    assert "s per case" in lines[0]
    assert shown.out.splitlines()[:3] == ["done         3", "done before  0", "failed       0"]
    assert str(folder / "out" / "cohort.tsv") in shown.out
    assert status_by_case(folder) == dict.fromkeys("abc", "done")
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        *("a", "b", "c", "cohort.tsv", "lesions.tsv")
    ]


def test_a_second_run_says_what_was_done_before(folder, capsys):
    batch(folder)
    capsys.readouterr()
    assert batch(folder) == 0
    shown = capsys.readouterr()
    assert shown.err == "[3/3] 3 done before\n"
    assert "done before  3" in shown.out
    assert batch(folder, "--threshold", "0.5") == 0
    assert "(again: the options were others)" in capsys.readouterr().err


def test_a_bad_line_and_an_ambiguous_folder_cost_their_own_case(folder, capsys):
    table = folder / "in.csv"
    table.write_text("case,flair\na,in/a/a_flair.nii.gz\nb,in/b/gone.nii.gz\n")
    assert batch(folder, source="in.csv") == 1
    assert status_by_case(folder) == {"a": "done", "b": "failed"}
    told = json.loads((folder / "out" / "b" / "b_error.json").read_text())
    assert (told["exit_code"], told["inputs"]) == (66, {})
    assert "line 3, column flair" in told["message"]
    second = folder / "in" / "c" / "c_run-2_FLAIR.nii.gz"
    second.write_bytes((folder / "in" / "c" / "c_flair.nii.gz").read_bytes())
    capsys.readouterr()
    assert batch(folder, "--dry-run") == 0
    shown = capsys.readouterr()
    assert "cannot be done" in shown.out
    assert batch(folder) == 1
    assert status_by_case(folder) == {"a": "done", "b": "done", "c": "failed"}
    told = json.loads((folder / "out" / "c" / "c_error.json").read_text())
    assert "c_run-2_FLAIR.nii.gz" in told["message"]
    second.unlink()
    assert batch(folder) == 0
    assert status_by_case(folder) == dict.fromkeys("abc", "done")


def test_a_failure_is_told_and_ends_with_1(folder, capsys):
    break_case(folder, "b")
    assert batch(folder) == 1
    shown = capsys.readouterr()
    assert "b: failed: " in shown.err
    last = shown.err.splitlines()[-1]
    assert last.startswith("strokeseg: error: 1 of 3 cases failed, the first b; see ")
    assert "│ b      │ 65   │" in shown.out
    assert status_by_case(folder) == {"a": "done", "b": "failed", "c": "done"}
    assert (folder / "out" / "b" / "b_error.json").exists()


def test_quiet_says_nothing_but_that_cases_failed(folder, capsys):
    assert batch(folder, "-q") == 0
    assert capsys.readouterr() == ("", "")
    break_case(folder, "b")
    assert batch(folder, "-q") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_json_tells_how_every_case_ended(folder, capsys):
    break_case(folder, "b")
    assert batch(folder, "--json", "-q") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["done"], found["skipped"], found["failed"]) == (2, 0, 1)
    assert [case["status"] for case in found["cases"]] == ["done", "failed", "done"]
    assert found["cases"][1]["exit_code"] == 65
    assert found["cohort_table"] == str(folder / "out" / "cohort.tsv")


def test_a_dry_run_shows_cases_and_files_and_writes_nothing(folder, capsys):
    assert batch(folder, "--dry-run") == 0
    shown = capsys.readouterr()
    assert "b/b_flair.nii.gz" in shown.out
    assert "3 cases; nothing was done" in shown.err
    assert not (folder / "out").exists()


def test_shards_do_every_case_once_and_the_last_table_has_all(folder, capsys, monkeypatch):
    assert batch(folder, "--shard", "1/2") == 0
    assert "part 1/2: 2 of 3 cases" in capsys.readouterr().err
    first = status_by_case(folder)
    for name, value in (("ID", "2"), ("COUNT", "2"), ("MIN", "1"), ("MAX", "2"), ("STEP", "1")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert batch(folder) == 0
    assert "part 2/2: 1 of 3 cases" in capsys.readouterr().err
    assert len(first) == 2
    assert status_by_case(folder) == dict.fromkeys("abc", "done")


def test_a_table_names_cases_truths_and_outputs(folder):
    (folder / "cases.csv").write_text("case,flair,truth,output\nx,in/a/a_flair.nii.gz,,deep/x\n")
    assert batch(folder, source="cases.csv") == 0
    assert (folder / "out" / "deep" / "x" / "x_strokeseg.json").exists()
    assert status_by_case(folder) == {"x": "done"}


def test_results_below_the_input_are_no_cases_of_the_next_run(folder):
    command = ["batch", str(folder / "in"), str(folder / "in" / "out"), "--model"]
    for _ in range(2):
        assert run([*command, str(folder / "model"), "--fast", "-q"]) == 0
    lines = (folder / "in" / "out" / "cohort.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--jobs", "0"], 2, "--jobs is 0"),
        (["--jobs", "2", "--dask", "tcp://a:1"], 2, "choose one"),
        (["--slurm", "queue=x"], 2, "does not know queue"),
        (["--shard", "3/2"], 2, "--shard"),
        (["--save", "all,none"], 2, "--save"),
        (["--threshold", "2"], 2, "--threshold"),
        (["--pattern", "flair"], 2, "--pattern"),
        (["--model", "nobody"], 69, "nobody"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_written(
    folder, capsys, arguments, code, word
):
    command = ["batch", str(folder / "in"), str(folder / "out"), *arguments]
    assert run(command) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert word in lines[0]
    assert not (folder / "out").exists()


def test_input_and_output_may_not_be_the_same_folder(folder, capsys):
    assert run(["batch", str(folder / "in"), str(folder / "in")]) == 2
    assert "give results a folder of their own" in capsys.readouterr().err
    assert hidden(folder / "in") == []


def test_a_link_that_spoils_the_tables_does_not_hide_how_the_cases_ended(folder, capsys):
    batch(folder)
    (folder / "out" / "old").mkdir()
    (folder / "elsewhere.json").write_text("{}")
    (folder / "out" / "old" / "old_strokeseg.json").symlink_to(folder / "elsewhere.json")
    capsys.readouterr()
    assert batch(folder) == 65
    shown = capsys.readouterr()
    assert "done before  3" in shown.out
    assert "old_strokeseg.json" in shown.err.splitlines()[-1]


def test_collect_writes_the_tables_anew(folder, capsys):
    batch(folder)
    before = (folder / "out" / "cohort.tsv").read_bytes()
    (folder / "out" / "cohort.tsv").unlink()
    capsys.readouterr()
    assert run(["collect", str(folder / "out")]) == 0
    assert "done           3" in capsys.readouterr().out
    assert (folder / "out" / "cohort.tsv").read_bytes() == before
    assert run(["collect", str(folder / "none")]) == 66
    assert run(["collect", "-q", str(folder / "out")]) == 0


@pytest.mark.parametrize("command", ["collect", "report", "overlap"])
def test_a_folder_that_holds_no_case_is_named_and_gets_no_table(tmp_path, capsys, command):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a_T1w.nii.gz").write_bytes(b"")
    assert run([command, str(tmp_path / "scans")]) == 66
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{tmp_path / 'scans'}: holds no case; give the OUTPUT" in " ".join(shown.err.split())
    assert [path.name for path in (tmp_path / "scans").iterdir()] == ["a_T1w.nii.gz"]


def test_a_dry_run_tells_done_from_to_do(folder, capsys):
    assert batch(folder, "-q") == 0
    (folder / "out" / "b" / "b_qc.png").unlink()
    capsys.readouterr()
    assert batch(folder, "--dry-run") == 0
    shown = capsys.readouterr()
    states = [line.split("│")[1:3] for line in shown.out.splitlines() if line.count("│") > 3]
    told = {name.strip(): state.strip() for name, state in states if name.strip()}
    assert told == {"a": "done", "b": "to do again: b_qc.png was missing", "c": "done"}
    assert "3 cases, 2 of them done before; nothing was done" in shown.err


@pytest.mark.parametrize("extra", [(), ("--dry-run",)])
def test_parts_that_the_model_does_not_tell_are_refused_before_the_first_case(
    folder, capsys, extra
):
    assert batch(folder, "--save", "mask,parts", *extra) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--save parts: model tells no parts of a lesion (has no second stage)" in line
    assert not (folder / "out").exists()
