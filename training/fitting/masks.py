"""Train a generator of lesion masks, draw a bank with it, and set it beside the real masks."""

import io
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from strokeseg.files.atomic import write_atomically
from strokeseg.training.fitting.loop import Session
from strokeseg.training.fitting.task import fit
from strokeseg.training.translation.mask_model import MaskModel, MaskTask
from strokeseg.training.translation.masks import (
    FINE,
    SPACING_MM,
    TABLE,
    coarse,
    describe,
    draw_masks,
    grid_of,
    occupancy,
    read_masks,
    with_nearest,
    write_bank,
    write_table,
)
from strokeseg.training.translation.settings import MaskModelConfig, as_plain

WEIGHTS = "masks.safetensors"


def train_masks(
    config: MaskModelConfig, folder: Path, session: Session, *, resume: bool = False
) -> MaskModel:
    """Train to the configured number of steps or to the time limit.

    Parameters
    ----------
    config
        The run.
    folder
        Gets `last.pt`, `loss.tsv` and `masks.safetensors`.
    session
        Time limit, and who hears of steps.
    resume
        Go on from the folder's last checkpoint; start anew where there is none.

    Returns
    -------
    MaskModel
        Of the averaged weights, knowing where its latents lie.

    Raises
    ------
    StrokesegError
        See `strokeseg.training.fitting.task.fit`; a folder of masks is missing or empty.
    """
    torch.manual_seed(config.seed)
    shares = (occupancy(mask) for mask in read_masks(config.data))
    masks = np.stack([np.round(255 * share).astype(np.uint8) for share in shares])
    task = MaskTask(config, masks)
    average = fit(task, config.fit, as_plain(config), folder, session, resume=resume)
    model = MaskModel(config).eval()
    model.load_state_dict(average)
    model.settle(task.masks)
    buffer = io.BytesIO(save(model.state_dict()))
    write_atomically(folder / WEIGHTS, [buffer.getvalue()])
    return model


def draw_bank(model: MaskModel, config: MaskModelConfig, folder: Path, count: int) -> Path:
    """Draw masks into `lesions/`, and write their figures and those of the real ones.

    Returns
    -------
    Path
        `lesions.tsv`; `real.tsv` lies beside it.
    """
    drawn = draw_masks(model, count, config.seed)
    bank = write_bank(folder, drawn)
    fine = grid_of(SPACING_MM / FINE)
    real = read_masks(config.data)
    theirs = [occupancy(mask) for mask in real]
    real_facts = [
        describe(mask.name, occupancy(mask, SPACING_MM / FINE) >= 0.5, fine) for mask in real
    ]
    facts = [describe(f"drawn-{n:04d}", mask, fine) for n, mask in enumerate(drawn, start=1)]
    ours = [coarse(mask) for mask in drawn]
    write_table(folder / TABLE, with_nearest(facts, ours, real_facts, theirs))
    write_table(folder / "real.tsv", with_nearest(real_facts, theirs, real_facts, theirs))
    return bank.parent / TABLE
