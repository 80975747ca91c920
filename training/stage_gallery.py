"""Edges at 1 mm as a picture: the truth, one stage and two stages, side by side.

``python -m strokeseg.training.stage_gallery MODEL CONFIG -o edges.png --cases 3 12``
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, IntArray
from strokeseg.errors import UsageError
from strokeseg.files.atomic import write_atomically
from strokeseg.images.reading import read_map, read_scan
from strokeseg.models.loading import LoadedModel, load_model
from strokeseg.prediction.options import Options
from strokeseg.prediction.pipeline import predict
from strokeseg.results.outlining import outline_of
from strokeseg.results.page import font
from strokeseg.results.picture import OUTLINE, TRUTH
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import resample_image
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, load_sources
from strokeseg.training.stage_two.settings import read_stage_two_config, samples_config
from strokeseg.training.synthesis.sample import build_sample
from strokeseg.training.validation.cases import draw_case

PANELS = ("truth", "one stage", "two stages")
SHOWN_VOX = 64
TIMES = 3
COLOURS = 48
_CAPTION_PX = 16
_GAP_PX = 4


@dataclass(frozen=True, eq=False)
class Edges:
    """An image (I, J, K) of 1 mm, what it is, and three masks in the order of `PANELS`."""

    title: str
    image: FloatArray
    masks: tuple[BoolArray, BoolArray, BoolArray]


def edges_of(
    title: str, image: FloatArray, grid: Grid, truth: BoolArray, models: Sequence[LoadedModel]
) -> Edges:
    """Predict an image by a model of one stage and by one of two, in one pass each."""
    options = Options(tta=False)
    one, two = (
        predict({"image": (image, grid.affine)}, model=model, options=options).mask
        for model in models
    )
    return Edges(title, image, (truth, one, two))


def edges_row(edges: Edges) -> Image.Image:
    """Draw the axial slice with most of the truth, around it, once for each mask."""
    truth = edges.masks[0]
    level = int(truth.sum(axis=(0, 1)).argmax())
    i, j = (_around(truth[:, :, level].sum(axis=axis)) for axis in (1, 0))
    plane = edges.image[i, j, level]
    low, high = np.percentile(plane, (1.0, 99.5))
    grey = np.clip((plane - low) / max(float(high - low), 1e-6), 0, 1) * 255
    edge = SHOWN_VOX * TIMES
    row = Image.new("RGB", (3 * (edge + _GAP_PX), edge + _CAPTION_PX))
    for number, (name, mask) in enumerate(zip(PANELS, edges.masks, strict=True)):
        tile = Image.fromarray(_upright(grey).astype(np.uint8)).convert("RGB")
        tile = tile.resize((edge, edge), Image.Resampling.NEAREST)
        line, seam = outline_of(_upright(mask[i, j, level]), (edge, edge))
        tile.paste((0, 0, 0), mask=seam)
        tile.paste(TRUTH if number == 0 else OUTLINE, mask=line)
        left = number * (edge + _GAP_PX)
        row.paste(tile, (left, _CAPTION_PX))
        told = f"{edges.title}: {name}" if number == 0 else name
        ImageDraw.Draw(row).text((left, 0), told, (230, 230, 230), font(12))
    return row


def _around(counts: IntArray) -> slice:
    places = np.flatnonzero(counts)
    middle = int(places.mean()) if places.size else counts.size // 2
    low = max(0, min(middle - SHOWN_VOX // 2, counts.size - SHOWN_VOX))
    return slice(low, low + SHOWN_VOX)


def _upright(plane: AnyArray) -> AnyArray:
    # Anterior up, the patient's right on the left.
    room = [SHOWN_VOX - size for size in plane.shape]
    return np.pad(plane, [(0, spare) for spare in room]).T[::-1, ::-1]


def draw_edges(every: Sequence[Edges], path: Path) -> None:
    """Write the rows, two beside each other, as a PNG of few colours."""
    rows = [edges_row(edges) for edges in every]
    width, height = rows[0].size
    columns = 2 if len(rows) > 1 else 1
    sheet = Image.new("RGB", (columns * (width + _GAP_PX), -(-len(rows) // columns) * height))
    for number, row in enumerate(rows):
        place = (number % columns * (width + _GAP_PX), number // columns * height)
        sheet.paste(row, place)
    buffer = BytesIO()
    sheet.quantize(COLOURS).save(buffer, "PNG", optimize=True)
    write_atomically(path, [buffer.getvalue()])


def scan_edges(scan: str, truth: str, models: Sequence[LoadedModel]) -> Edges:
    """Bring a real scan and its truth to 1 mm, and predict it."""
    volume, mask = read_scan(scan), read_map(truth)
    grid = working_grid(volume.grid, 1.0)
    image = resample_image(volume.data, volume.grid, grid)
    lesion = resample_image(np.asarray(mask.data > 0, np.float32), mask.grid, grid) >= 0.5
    return edges_of(Path(scan).name.partition(".")[0], image, grid, lesion, models)


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.stage_gallery`."""
    parser = command_parser("stage_gallery", __doc__)
    parser.add_argument("model", help="of two stages: a name or a folder")
    parser.add_argument("config", help="of its training: held-out heads and lesions are drawn")
    parser.add_argument("--first", help="the model of one stage; else the configuration's")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, nargs="*", default=[], help="numbers of drawn cases")
    parser.add_argument(
        "--scan", nargs=2, action="append", default=[], metavar=("SCAN", "TRUTH"), help="a real one"
    )
    chosen = parser.parse_args(arguments)
    if not chosen.cases and not chosen.scan:
        raise UsageError("name --cases, or a --scan and its truth")
    settings = read_stage_two_config(chosen.config)
    run = samples_config(settings)
    models = load_model(chosen.first or settings.first, stages=1), load_model(chosen.model)
    every = [scan_edges(scan, truth, models) for scan, truth in chosen.scan]
    if chosen.cases:
        sources = load_sources(run.data, held_out=True)
        heads = Heads(sources.subjects, torch.device("cpu"))
    for case in chosen.cases:
        drawn = draw_case(case, sources, run)
        sample = build_sample(drawn, sources, run, heads)
        truth = sample.target.numpy() == LESION
        size = run.data.voxel_size_mm
        grid = Grid(truth.shape, np.diag([size, size, size, 1.0]))
        every.append(edges_of(f"case {case}", sample.image.numpy(), grid, truth, models))
    draw_edges(every, chosen.output)
    return f"{chosen.output}\n"


if __name__ == "__main__":
    run_command(main)
