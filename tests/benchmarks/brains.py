"""A contact sheet of brains that `strokeseg brain` found, to look at.

``strokeseg brain SCAN... -o RESULTS`` and then ``python -m tests.benchmarks.brains RESULTS SCANS``
draw each scan in five slices (three axial, a coronal, a sagittal one) with its mask's outline.
Scans are looked for by their names below SCANS. A line tells the volume of each, and where regions
of a T1w lie beside it as ``*_muse``, which part of them is in the mask, and how much is beyond.
"""

import argparse
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw

SHARES = (12, 50, 88)
FOUND, NAME = (255, 150, 20), (120, 200, 255)
COLOURS = 48


def axis_slices(mask):
    """Give axis and index of the slices that are drawn, by where the brain lies."""
    places = np.nonzero(mask if mask.any() else np.ones_like(mask))
    at = [np.percentile(place, SHARES).astype(int) for place in places]
    return *((2, index) for index in at[2]), (1, at[1][1]), (0, at[0][1])


def cell(data, mask, edges_mm, edge):
    """Draw a slice, grey and from 0 to 1, in a square, with the mask's outline."""
    width, height = (size * mm for size, mm in zip(data.shape, edges_mm, strict=True))
    size = [max(1, int(mm * edge / max(width, height))) for mm in (width, height)]
    grey = Image.fromarray((255 * data.T[::-1]).astype(np.uint8)).resize(size, Image.BILINEAR)
    inside = Image.fromarray((255 * mask.T[::-1]).astype(np.uint8)).resize(size, Image.NEAREST)
    padded = np.pad(np.asarray(inside) > 0, 1)
    here = padded[1:-1, 1:-1]
    deep = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    picture = np.repeat(np.asarray(grey)[..., None], 3, axis=-1)
    picture[here & ~deep] = FOUND
    left, top = ((edge - length) // 2 for length in size)
    square = np.zeros((edge, edge, 3), np.uint8)
    square[top : top + size[1], left : left + size[0]] = picture
    return square


def canonical(path):
    image = nib.as_closest_canonical(nib.load(path))
    return np.squeeze(image.get_fdata(dtype=np.float32)), image.header.get_zooms()[:3]


def strip(sidecar, scans, edge):
    """Draw the scan of a mask's sidecar; gives the picture and a line."""
    told = json.loads(sidecar.read_text())
    (scan,) = scans.rglob(told["Sources"][0])
    (data, edges_mm), (mask, _) = canonical(scan), canonical(sidecar.with_suffix(".nii.gz"))
    mask = mask > 0
    low, high = np.percentile(data, 1), np.percentile(data[mask] if mask.any() else data, 99)
    grey = np.clip((data - low) / max(high - low, 1e-9), 0, 1)
    cells = []
    for axis, index in axis_slices(mask):
        others = [edges_mm[other] for other in range(3) if other != axis]
        cells.append(cell(grey.take(index, axis), mask.take(index, axis), others, edge))
    line = f"{told['Sources'][0].split('.')[0]} {told['VolumeMl']:.0f} ml"
    regions = scan.with_name(f"{scan.name.removesuffix('_T1w.nii.gz')}_muse.nii.gz")
    if regions.exists() and regions != scan:
        brain = canonical(regions)[0] > 0
        beyond_ml = np.count_nonzero(mask & ~brain) * np.prod(edges_mm) / 1000
        line += f", {np.mean(mask[brain]):.1%} of regions in, {beyond_ml:.0f} ml beyond"
    picture = Image.fromarray(np.hstack(cells))
    ImageDraw.Draw(picture).text((3, 1), line, NAME)
    return np.asarray(picture), line


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("brains.png"))
    parser.add_argument("--edge", type=int, default=110, help="of a slice, in pixels")
    parser.add_argument("--columns", type=int, default=2)
    given = parser.parse_args()
    strips = []
    for sidecar in sorted(given.results.rglob("*_mask.json")):
        picture, line = strip(sidecar, given.scans, given.edge)
        strips.append(picture)
        sys.stdout.write(f"{line}\n")
    strips += [np.zeros_like(strips[0])] * (-len(strips) % given.columns)
    rows = [
        np.hstack(strips[first : first + given.columns])
        for first in range(0, len(strips), given.columns)
    ]
    sheet = Image.fromarray(np.vstack(rows)).quantize(COLOURS, dither=Image.Dither.NONE)
    sheet.save(given.output, optimize=True)


if __name__ == "__main__":
    main()
