"""Make the README's three screenshots of a report, from a cohort segmented on the spot.

Run by hand where Chromium is: ``python -m tests.screenshots [FOLDER]``. The cohort is a BIDS
dataset of the demonstration scan, of the scans in ``../shared/data`` that are there, and of one
file that is cut; it stays in FOLDER and is not segmented twice. Error messages, and so one of the
pictures, name that folder.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from strokeseg.cli import run
from strokeseg.demo import demo_case
from tests.factories import SCANS
from tests.report.browsing import Browser, find_browser

PICTURES = Path(__file__).resolve().parent / "pictures"
GREYS, COLOURS = 52, 128
# Subject and folder in the dataset, and the scans.
CASES = {
    "sub-acute/dwi": ("sub-acute_dwi.nii.gz", "sub-acute_adc.nii.gz"),
    "sub-acute/anat": ("sub-acute_FLAIR.nii.gz",),
    "sub-chronic/anat": ("sub-chronic_T2w.nii.gz",),
    "sub-colin/anat": ("sub-colin_T1w.nii.gz",),
    "sub-healthy/anat": ("sub-healthy_FLAIR.nii.gz",),
}


def make_dataset(folder):
    """A small BIDS dataset."""
    (folder / "sub-demo" / "anat").mkdir(parents=True)
    (folder / "dataset_description.json").write_text('{"Name": "Screens", "BIDSVersion": "1.10.0"}')
    shutil.copy(demo_case().scan, folder / "sub-demo" / "anat")
    for place, names in CASES.items():
        for name in names:
            if (SCANS / name).is_file():
                (folder / place).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(SCANS / name, folder / place / name)
    cut = folder / "sub-cut" / "anat" / "sub-cut_T1w.nii.gz"
    cut.parent.mkdir(parents=True)
    cut.write_bytes(demo_case().scan.read_bytes()[:20_000])


def make_report(folder):
    """Segment the dataset, with all outputs, and make its report."""
    dataset, output = folder / "cohort", folder / "results"
    if not dataset.exists():
        make_dataset(dataset)
    run(["batch", str(dataset), str(output), "--save", "all", "--threads", "1"])  # one case fails
    if run(["report", str(output), "--title", "A small cohort"]):
        raise SystemExit("the report failed")
    return output / "report"


def palette_of(picture):
    """Evenly spaced greys, and the colours among them."""
    pixels = np.asarray(picture).reshape(-1, 3)
    coloured = pixels[np.ptp(pixels.astype(int), axis=1) > 12]
    greys = np.linspace(0, 255, GREYS).round().astype(np.uint8).repeat(3).tolist()
    strip = Image.fromarray(coloured[np.newaxis])
    found = strip.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*greys, *found])
    return palette


def keep(browser, name, selector=None):
    """Save what is seen, or one element of it, in few colours."""
    path = PICTURES / f"{name}.png"
    if selector is None:
        browser.driver.save_screenshot(str(path))
    else:
        browser.find(selector).screenshot(str(path))
    picture = Image.open(path).convert("RGB")
    few = picture.quantize(palette=palette_of(picture), dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")  # noqa: T201


def take(report, browser):
    """Look at a case, at the index, and at a case's layers, as a reviewer does."""
    PICTURES.mkdir(exist_ok=True)
    browser.driver.set_window_size(1280, 1019)
    case = report / "cases" / "sub-demo.html"
    browser.open_viewer(case)
    browser.fill("#comment", "A second, small one is doubtful")
    browser.press("e")
    browser.click("tr[data-lesion='0'] td:nth-child(3)")
    browser.run("scrollTo(0, 0)")
    keep(browser, "report-case")
    browser.open(report / "index.html")
    browser.wait("[...document.images].slice(0, 3).every((image) => image.complete)")
    keep(browser, "report-index")
    browser.open_viewer(case)
    browser.click("#outline")
    browser.fill("#opacity-mask", 1)
    browser.click("#show-probability")
    browser.wait("window.strokesegViewer.images.has('probability')")
    browser.wait("document.getElementById('values').textContent.includes('p ')")
    browser.run("scrollTo(0, 0)")
    keep(browser, "report-viewer", ".viewer")


def main():
    missing = find_browser()[1]
    if missing:
        raise SystemExit(missing)
    default = Path(tempfile.gettempdir()) / "strokeseg-screens"
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    report = make_report(folder)
    with tempfile.TemporaryDirectory() as scratch:
        browser = Browser(Path(scratch))
        try:
            take(report, browser)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
