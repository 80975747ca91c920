"""A cohort whose ids, files, labels and model card are markup, segmented and looked at."""

import json
import shutil

import pytest

from strokeseg.cli import run
from tests.cohort.cohorts import CHANGES
from tests.factories import scan_file
from tests.tiny_models import OWN, isolate, tiny_files, write_files

# Names of files hold no slash, and so no closing tag; texts may hold anything.
NAMES = (
    "<script>window.hacked=1<script>",
    '"><img src=x onerror=window.hacked=1>',
    "' onmouseover='window.hacked=1",
    "javascript:window.hacked=1",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
)
CARD = "\n".join(
    (
        *NAMES,
        "</pre></details><script>window.hacked=1</script>",
        "[a link](javascript:window.hacked=1) ![](x onerror=window.hacked=1)",
        "<!-- <svg onload=window.hacked=1> ]]> --> <meta http-equiv=refresh content=0>",
    )
)
# Every handler, and every address that is no file of the report, that a page has.
FOUND = """
return [...document.querySelectorAll('*')].flatMap((element) =>
  [...element.attributes].filter((attribute) => /^on/i.test(attribute.name)
    || (/^(href|src|action|formaction|srcdoc|data)$/i.test(attribute.name)
        && /^\\s*(javascript:|https?:|data:text)/i.test(attribute.value)))
  .map((attribute) => `${element.tagName} ${attribute.name}=${attribute.value}`));
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    model = write_files(tmp_path / "model", tiny_files(OWN | CHANGES, seed=3))
    (model / "README.md").write_text(CARD)
    assert run(["weights", "import", str(model), "--name", "tiny"]) == 0
    return tmp_path


def segmented(folder, *command):
    code = run([*command, "--model", "tiny", "--fast", "-q"])
    words = ["--viewer-mb", "0", "--title", NAMES[1], "-q"]
    assert run(["report", str(folder / "out"), *words]) == 0
    return code, folder / "out" / "report"


def listed(folder):
    """A table of cases: each name is that of a case and of its file; the last one is no image."""
    scan = scan_file(folder)
    (folder / "in").mkdir()
    lines = ["case\tflair"]
    for name in NAMES:
        shutil.copy(scan, folder / "in" / f"{name}_FLAIR.nii.gz")
        quoted = [cell.replace('"', '""') for cell in (name, f"in/{name}_FLAIR.nii.gz")]
        lines.append("\t".join(f'"{cell}"' for cell in quoted))
    (folder / "in" / f"{NAMES[-1]}_FLAIR.nii.gz").write_bytes(b"no image")
    (folder / "cases.tsv").write_text("\n".join(lines))
    return folder / "cases.tsv"


def look_at(browser, report, names):
    """Open every page; the names show as they are, and nothing of them is markup or runs."""
    browser.open(report / "index.html")
    assert sorted(e.text for e in browser.all("#cases tbody th a")) == sorted(names)
    assert browser.text("h1") == NAMES[1]
    assert browser.text("pre.card").strip() == CARD
    pages = sorted((report / "cases").glob("*.html"))
    assert len(pages) == len(names)
    shown = []
    for page in (report / "index.html", *pages):
        browser.open(page)
        browser.run(
            "for (const element of document.querySelectorAll('*'))"
            "  for (const kind of ['mouseover', 'error', 'load'])"
            "    element.dispatchEvent(new Event(kind));"
        )
        assert browser.run(FOUND) == [], page
        assert browser.run("return window.hacked") is None
        assert (
            browser.run(
                "return document.querySelectorAll('img[src=x], meta[http-equiv=refresh]').length"
            )
            == 0
        )
        shown.append(browser.text("h1"))
    assert all(any(title.startswith(name) for title in shown) for name in names)


def test_ids_and_files_of_a_table_and_a_model_card_show_as_text(browser, folder):
    code, report = segmented(folder, "batch", str(listed(folder)), str(folder / "out"))
    assert code == 1
    look_at(browser, report, NAMES)
    record = next((folder / "out").rglob("*_strokeseg.json"))
    assert json.loads(record.read_text())["models"][0]["name"] == "tiny"


def test_labels_of_participants_show_as_text(browser, folder):
    labels = [f"sub-{name}" for name in NAMES]
    for label in labels:
        anat = folder / "raw" / label / "anat"
        anat.mkdir(parents=True)
        shutil.copy(scan_file(folder), anat / f"{label}_FLAIR.nii.gz")
    description = {"Name": CARD, "BIDSVersion": "1.10.0"}
    (folder / "raw" / "dataset_description.json").write_text(json.dumps(description))
    command = ["bids", str(folder / "raw"), str(folder / "out"), "participant"]
    code, report = segmented(folder, *command)
    assert code == 0
    look_at(browser, report, labels)
