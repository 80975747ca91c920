"""Train a translator, and leave what `translated:NAME` reads."""

from pathlib import Path

import torch

from strokeseg.training.fitting.loop import Session
from strokeseg.training.fitting.task import fit
from strokeseg.training.translation.objectives import TranslatorTask
from strokeseg.training.translation.pairs import read_pairs
from strokeseg.training.translation.settings import TranslatorConfig, as_plain
from strokeseg.training.translation.translator import write_translator


def train_translator(
    config: TranslatorConfig, folder: Path, session: Session, *, resume: bool = False
) -> Path:
    """Train to the configured number of steps or to the time limit.

    Parameters
    ----------
    config
        The run.
    folder
        Gets `last.pt`, `loss.tsv`, `translator.safetensors` and `translator.json`.
    session
        Time limit, and who hears of steps.
    resume
        Go on from the folder's last checkpoint; start anew where there is none.

    Returns
    -------
    Path
        The weights.

    Raises
    ------
    StrokesegError
        See `strokeseg.training.translation.pairs.read_pairs` and `fitting.task.fit`.
    """
    torch.manual_seed(config.seed)
    task = TranslatorTask(config, read_pairs(config.data, dimensions=config.dimensions))
    average = fit(task, config.fit, as_plain(config), folder, session, resume=resume)
    return write_translator(folder, config, {name: t.numpy() for name, t in average.items()})
