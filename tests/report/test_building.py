import hashlib
import io
import json
import os
import re
import shutil
from importlib import resources

import pytest
from PIL import Image

from strokeseg.cli import run
from strokeseg.errors import InputNotFoundError, UsageError
from strokeseg.models.finding import FoundModel, locate_model
from strokeseg.models.hub_settings import hub_settings
from strokeseg.models.registry import load_registry
from strokeseg.report import model_cards
from strokeseg.report.building import build_report
from strokeseg.report.rendering import NIIVUE_VERSION, assets
from strokeseg.results.archive import find_filed_cases
from tests.report.cohorts import MODEL, file_case, file_error

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def pages_of(output):
    return {
        p.relative_to(output / "report").as_posix(): p.read_text("utf-8")
        for p in (output / "report").rglob("*.html")
    }


def test_a_report_has_an_index_and_for_each_case_a_page_with_its_files(output):
    file_case(output, "sub-01")
    file_case(output, "sub-02", lesions=())
    file_error(output, "sub-03")
    built = build_report(output)
    assert (built.cases, built.failed, built.kept) == (3, 1, 0)
    assert built.index == output / "report" / "index.html"
    folder = output / "report" / "cases"
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"sub-01{end}" for end in (".html", "_picture.jpg", "_slice.jpg", "_volumes.js")),
        *(f"sub-02{end}" for end in (".html", "_picture.jpg", "_slice.jpg", "_volumes.js")),
        "sub-03.html",
    ]
    slice_ = (folder / "sub-01_slice.jpg").read_bytes()
    assert len(slice_) < 10_000
    image = Image.open(io.BytesIO(slice_)).convert("RGB")
    assert image.size == (96, 96)
    assert any(r > 150 and b < 110 and r > g > b for _, (r, g, b) in image.getcolors(10**5))


def test_the_index_has_medians_with_and_without_cases_that_are_free_of_lesion(output):
    file_case(output, "sub-01")
    build_report(output)
    alone = " ".join(pages_of(output)["index.html"].split())
    assert "median of those with lesion" not in alone
    file_case(output, "sub-02", lesions=())
    build_report(output)
    text = re.sub(r"<[^>]+>", " ", pages_of(output)["index.html"])
    both = re.findall(r"([0-9.]+) ml\s+median", text)
    (found,) = {float(volume) for volume in both[1:]}
    assert float(both[0]) == pytest.approx(found / 2, abs=0.06)
    assert "median of those with lesion" in text


def test_every_page_carries_the_policy_and_a_nonce_of_its_own(output):
    file_case(output, "sub-01")
    file_error(output, "sub-02")
    build_report(output)
    nonces = set()
    for name, page in pages_of(output).items():
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
        assert policy.startswith("default-src &#39;none&#39;; "), name
        assert "unsafe" not in policy
        assert "connect-src &#39;none&#39;" in policy
        assert "require-trusted-types-for" in policy
        (nonce,) = re.findall(r"script-src &#39;nonce-([\w-]{22})&#39;", policy)
        scripts = re.findall(r"<script [^>]*>", page)
        assert all(f'nonce="{nonce}"' in s or 'type="application/json"' in s for s in scripts)
        assert not re.search(r"<[^>]+\son\w+=|<[^>]+\sstyle=|javascript:", page), name
        nonces.add(nonce)
    assert len(nonces) == 3


def test_nothing_on_the_pages_is_outside_the_report(output):
    file_case(output, "sub-01")
    build_report(output)
    for name, page in pages_of(output).items():
        for link in re.findall(r'(?:href|src)="([^"]+)"', page):
            if link.startswith(("#", "data:,")):
                continue
            place = (output / "report" / name).parent / link.partition("#")[0]
            assert place.resolve().is_relative_to((output / "report").resolve()), link
            assert place.is_file(), link


def test_a_lesion_opposite_fluid_is_marked_in_the_table(output):
    record = file_case(output, "sub-01")
    table = record.with_name("sub-01_label-L_lesions.tsv")
    build_report(output)
    (page,) = (text for name, text in pages_of(output).items() if name != "index.html")
    assert "opposite fluid" not in page
    table.write_text(table.read_text().replace("\tn/a\n", "\ttrue\n", 1))
    build_report(output)
    (page,) = (text for name, text in pages_of(output).items() if name != "index.html")
    assert page.count("opposite fluid</span>") == 1


def test_whatever_a_record_holds_shows_as_text(output):
    changes = {
        "case": NASTY,
        "warnings": [NASTY, "</script><script>alert(2)</script>", "\ud800"],
        "models": [MODEL | {"name": NASTY, "engine": NASTY}],
        "platform": NASTY,
        "rule": {NASTY: NASTY},
        "files": {NASTY: NASTY},
        "inputs": {NASTY: {"path": NASTY, "shape": NASTY}},
        "reference": NASTY,
    }
    record = file_case(output, "sub-01", **changes)
    for ending in ("_label-L_lesions.tsv", "_dseg.tsv"):
        table = record.with_name(f"sub-01{ending}")
        table.write_text(table.read_text().replace("right", NASTY).replace("GM", NASTY))
    file_error(output, "sub-02", message=NASTY, exception=NASTY, time=NASTY, exit_code=NASTY)
    build_report(output, title=NASTY)
    pages = pages_of(output)
    assert len(pages) == 3
    for name, page in pages.items():
        assert "<img src=x" not in page, name
        assert "<script>" not in page, name
        assert page.count("</script>") == page.count("<script"), name
        assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 4, name
        assert re.fullmatch(r"[A-Za-z0-9._/-]+", name)


def test_a_model_card_shows_as_text_where_it_is_of_the_very_model(output, monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text(f"# Card {NASTY}")

    found = FoundModel("tiny", tmp_path, "folder", checksums={"model.safetensors": MODEL["sha256"]})
    monkeypatch.setattr(model_cards, "locate_model", lambda *_: found)
    file_case(output, "sub-01")
    file_case(output, "sub-02", models=[MODEL | {"sha256": "cd" * 32}])
    build_report(output)
    index = pages_of(output)["index.html"]
    assert "# Card &lt;img src=x onerror=alert(1)&gt;" in index
    assert index.count("Its card is not on the machine") == 1


def test_the_bundled_models_card_is_found(output):
    registry = load_registry()
    found = locate_model(registry.default, hub_settings(offline=True), registry)
    sha256 = found.checksums["model.safetensors"]
    file_case(output, "sub-01", models=[MODEL | {"name": registry.default, "sha256": sha256}])
    build_report(output)
    assert '<pre class="card">' in pages_of(output)["index.html"]


def test_a_case_is_made_anew_only_if_something_of_it_changed(output):
    file_case(output, "sub-01")
    record = file_case(output, "sub-02")
    file_case(output, "sub-03")
    build_report(output)
    assert build_report(output).kept == 3
    content = json.loads(record.read_text())
    content["lesion_volume_ml"] = 3.0
    record.write_text(json.dumps(content))
    assert build_report(output).kept == 2
    mask = output / "sub-01" / "sub-01_label-L_mask.nii.gz"
    os.utime(mask, (1, 1))
    assert build_report(output).kept == 2
    (output.parent / "scans" / "sub-03_FLAIR.nii.gz").unlink()
    assert build_report(output).kept == 2
    assert "any more" in pages_of(output)["cases/sub-03.html"]
    (output / "report" / "cases" / "sub-02_volumes.js").unlink()
    assert build_report(output).kept == 2
    assert build_report(output, viewer_mb=2.0).kept == 0
    assert build_report(output, viewer_mb=2.0, fresh=True).kept == 0


def test_what_is_kept_is_what_would_be_made(output):
    file_case(output, "sub-01")
    build_report(output)
    folder = output / "report" / "cases"
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".html"}
    build_report(output)
    kept = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".html"}
    build_report(output, fresh=True)
    fresh = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".html"}
    assert before == kept == fresh


def test_a_manifest_that_was_changed_leads_to_no_file_outside(output, tmp_path):
    file_case(output, "sub-01")
    build_report(output)
    (tmp_path / "secret.txt").write_text("secret")
    path = output / "report" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["cases"]["sub-01/sub-01"]["parts"]["files"].append("../../secret.txt")
    path.write_text(json.dumps(manifest))
    assert build_report(output).kept == 0
    assert "secret.txt" not in str(sorted(output.rglob("*")))


def test_a_script_that_was_put_into_an_earlier_report_is_not_taken_over(output):
    file_case(output, "sub-01")
    file_case(output, "sub-02")
    build_report(output)
    script = output / "report" / "cases" / "sub-01_volumes.js"
    before = script.read_bytes()
    script.write_bytes(before + b"window.hacked=1;")
    assert build_report(output).kept == 1
    assert script.read_bytes() == before


def test_reviews_stay_with_the_cohort_when_the_report_is_made_again(output):
    file_case(output, "sub-01")
    ids = []
    for _ in range(2):
        build_report(output)
        ids += re.findall(r'data-report="(\w+)"', pages_of(output)["index.html"])
    shutil.rmtree(output / "report")
    build_report(output)
    ids += re.findall(r'data-report="(\w+)"', pages_of(output)["index.html"])
    assert ids[0] == ids[1] != ids[2]


def test_without_viewers_no_volume_is_written(output):
    file_case(output, "sub-01")
    build_report(output, viewer_mb=0)
    assert not list((output / "report").rglob("*_volumes.js"))
    page = pages_of(output)["cases/sub-01.html"]
    assert "made without viewers" in page
    assert "niivue.umd.js" not in page


def test_a_coarser_volume_is_said_on_the_page(output):
    file_case(output, "sub-01")
    build_report(output, viewer_mb=0.01)
    assert "coarser than the results" in pages_of(output)["cases/sub-01.html"]


def test_an_earlier_result_and_a_later_failure_are_both_shown(output):
    file_case(output, "sub-01")
    file_error(output, "sub-01", message="out of luck")
    build_report(output)
    page = pages_of(output)["cases/sub-01.html"]
    assert "the results below are earlier ones" in page
    assert "out of luck" in page
    assert 'id="canvas"' in page


def test_cases_of_one_name_have_a_page_each(output):
    file_case(output / "a", "sub-01")
    file_case(output / "b", "sub-01")
    assert build_report(output).cases == 2
    assert len(pages_of(output)) == 3


def test_a_report_is_no_case_of_the_next(output):
    file_case(output, "sub-01")
    build_report(output)
    assert len(find_filed_cases(output)) == 1


@pytest.mark.parametrize("empty", [True, False])
def test_an_output_without_cases_is_told(output, empty):
    if empty:
        output.mkdir()
    with pytest.raises(InputNotFoundError, match=r"out: (holds no case|no such folder)"):
        build_report(output)
    assert not (output / "report").exists()


@pytest.mark.parametrize("size", [-1, 1e9, float("nan")])
def test_a_size_out_of_range_is_refused(output, size):
    file_case(output, "sub-01", kinds=())
    with pytest.raises(UsageError, match="--viewer-mb"):
        build_report(output, viewer_mb=size)


def test_a_cut_record_is_the_page_of_a_failed_case_and_costs_no_other(output):
    file_case(output, "sub-01").write_text('{"case": "sub-')
    file_case(output, "sub-02")
    built = build_report(output)
    assert (built.cases, built.failed) == (2, 1)
    why = "sub-01_strokeseg.json: is no JSON (cut or changed): run this case again"
    assert list(built.damaged) == ["sub-01"]
    assert built.damaged["sub-01"].endswith(why)
    assert why in (output / "report" / "cases" / "sub-01.html").read_text()
    assert str(output) not in (output / "report" / "cases" / "sub-01.html").read_text()


def test_the_command_says_what_to_open(output, capsys):
    file_case(output, "sub-01")
    assert run(["report", str(output), "--title", "Ours", "--threads", "1"]) == 0
    said = capsys.readouterr()
    assert str(output / "report" / "index.html") in said.out
    assert "1 of 1 case" in said.err
    assert "<h1>Ours</h1>" in pages_of(output)["index.html"]
    assert run(["report", str(output), "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("prepare", "code", "words"),
    [
        (lambda _: None, 66, "no such folder"),
        (lambda output: output.mkdir(), 66, "holds no case"),
        (lambda output: (file_case(output, "a"), (output / "report").mkdir()), 73, "move it away"),
    ],
)
def test_the_command_ends_in_one_line_where_it_cannot(output, capsys, prepare, code, words):
    prepare(output)
    assert run(["report", str(output)]) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("strokeseg: error: ")
    assert words in line


def test_niivue_is_the_file_that_its_readme_names():
    files = assets()
    content = files["assets/niivue/niivue.umd.js"]
    readme = (resources.files("strokeseg.report") / "assets" / "niivue" / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in readme
    assert f"`@niivue/niivue` {NIIVUE_VERSION}" in readme
    assert f'"{NIIVUE_VERSION}"' in content.decode()
    assert b"BSD 2-Clause" in files["assets/niivue/LICENSE"]


def test_our_scripts_make_no_markup_from_text_and_no_request():
    for name, content in assets().items():
        if name.endswith(".js") and "niivue" not in name:
            text = content.decode()
            for word in (
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "fetch(",
                "XMLHttpRequest",
                "import(",
                "http:",
                "https:",
            ):
                assert word not in text, f"{name} has {word}"
