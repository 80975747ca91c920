"""Heads painted by a translator instead of by means and textures.

The healthy head is translated once for each of a few variants, which age it differently and draw
other noise, as the mean of three planes, and kept. A lesion asks for every other slice that it lies
in, in the plane where they are fewest; the others are interpolated. All slices of all
planes would take four times as long as a drawn sample.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from strokeseg.errors import DataError
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.ageing import apply_ageing, draw_ageing
from strokeseg.training.synthesis.filters import carry, gaussian_smooth
from strokeseg.training.synthesis.painting import Mixture
from strokeseg.training.synthesis.warp import Box
from strokeseg.training.translation.classes import LESION, codes_of
from strokeseg.training.translation.translator import PREFIX, Translator, read_translator

MARGIN_VOX = 2
EDGE_FWHM_VOX = 1.5


@dataclass(frozen=True)
class Translation:
    """Which translator paints which variant of which head; `seed` is the variant's."""

    folder: str
    subject: int
    variant: int
    seed: int

    @property
    def family(self) -> str:
        """The sequence's name."""
        return PREFIX + Path(self.folder).name


@dataclass(frozen=True)
class TranslatedHead:
    """A healthy head's brain: its box, its aged classes, the translator's, and the image."""

    box: Box
    mixture: Mixture
    codes: torch.Tensor
    image: torch.Tensor
    translator: Translator
    seed: int


def draw_translation(
    rng: np.random.Generator, subject: int, config: TrainConfig
) -> Translation | None:
    """Draw whether a head is translated, by which translator and in which variant."""
    settings = config.contrast
    if settings.translated_share == 0 or rng.random() >= settings.translated_share:
        return None
    folder = config.data.translators[int(rng.integers(len(config.data.translators)))]
    variant = int(rng.integers(settings.translated_variants))
    seed = int(np.random.default_rng([config.seed, subject, variant]).integers(2**31))
    return Translation(folder, subject, variant, seed)


def translate_head(
    translation: Translation, sources: Sources, config: TrainConfig, heads: Heads
) -> TranslatedHead:
    """Give the healthy head's translation, drawn at its first use."""
    translator = _translator(translation.folder, config.data.voxel_size_mm)
    first, grey, corner = heads.keep(
        translation, lambda: _draw(translation, translator, sources, config, heads)
    )
    i, j, k = (
        slice(low, low + size) for low, size in zip(corner.tolist(), grey.shape, strict=True)
    )
    codes = carry(codes_of(sources.table), heads.device)[first.long()]
    share = torch.ones(grey.shape, device=heads.device)
    return TranslatedHead(
        (i, j, k),
        Mixture(first.long(), first.long(), share),
        codes,
        grey.float(),
        translator,
        translation.seed,
    )


def with_lesion(head: TranslatedHead, weight: torch.Tensor, above: float) -> torch.Tensor:
    """Draw slices that hold lesion anew, and take from them what lies in or beside it.

    Parameters
    ----------
    head
        The healthy head.
    weight : (I, J, K) float32
        Of the lesion; what is over `above` is lesion to the translator. Less weight, less of it.
    above
        As `lesion.target_above` of a run.

    Returns
    -------
    (I, J, K) float32 tensor
        The image, 0 to 255.
    """
    lesion = weight > above
    if not bool(lesion.any()):
        return head.image
    labels = torch.where(lesion & (head.codes > 0), LESION, head.codes).to(torch.uint8)
    share = torch.maximum(weight, gaussian_smooth(weight, EDGE_FWHM_VOX)).clamp(max=1)
    return head.image + share * (_redraw(head, labels, lesion) - head.image)


def _redraw(head: TranslatedHead, labels: torch.Tensor, lesion: torch.Tensor) -> torch.Tensor:
    """Give the head's image with the slices that hold lesion drawn anew; all, where it is 3D."""
    if head.translator.config.dimensions == 3:
        return head.translator.draw_scan(labels, head.seed)
    planes = [lesion.movedim(axis, 0).flatten(1).any(dim=1).nonzero()[:, 0] for axis in range(3)]
    axis = min(range(3), key=lambda number: len(planes[number]))
    rows = planes[axis]
    asked = _every_other(rows)
    slices = labels.movedim(axis, 0)[asked].contiguous()
    found = head.translator.draw(slices, head.seed + axis)
    drawn = head.image.clone()
    drawn.movedim(axis, 0)[rows] = _between(found, asked, rows)
    return drawn


def _every_other(rows: torch.Tensor) -> torch.Tensor:
    """Give every other of rising row numbers, and the first and the last of each run of them."""
    gaps = torch.diff(rows) > 1
    end = torch.ones(1, dtype=torch.bool, device=rows.device)
    return rows[(rows % 2 == 0) | torch.cat((end, gaps)) | torch.cat((gaps, end))]


def _between(slices: torch.Tensor, asked: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Interpolate slices (N, A, B), which lie at rows `asked`, at all of `rows`."""
    if len(asked) == 1:
        return slices
    after = torch.searchsorted(asked, rows).clamp(min=1)
    low, high = asked[after - 1], asked[after]
    share = ((rows - low) / (high - low))[:, None, None]
    return torch.lerp(slices[after - 1], slices[after], share)


def _draw(
    translation: Translation,
    translator: Translator,
    sources: Sources,
    config: TrainConfig,
    heads: Heads,
) -> tuple[torch.Tensor, ...]:
    """Age a head as its variant does, and translate its brain; classes, image as bytes, corner."""
    first, second, share = heads[translation.subject]
    mixture = Mixture(first.long(), second.long(), share.float() / 255)
    ageing = draw_ageing(np.random.default_rng(translation.seed), config.ageing)
    reach_vox = config.ageing.reach_mm / config.data.voxel_size_mm
    aged = apply_ageing(mixture, ageing, sources.table.ageing, reach_vox).first
    codes = carry(codes_of(sources.table), heads.device)[aged]
    inside = (codes > 0).nonzero()
    if not len(inside):
        raise DataError(f"{sources.subjects[translation.subject].name}: has no brain to translate")
    low = (inside.amin(dim=0) - MARGIN_VOX).clamp_min(0)
    high = inside.amax(dim=0) + 1 + MARGIN_VOX
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    drawn = translator.draw_scan(codes[i, j, k].contiguous(), translation.seed)
    return aged[i, j, k].to(torch.uint8), drawn.round().to(torch.uint8), low


@lru_cache(maxsize=8)
def _translator(folder: str, voxel_size_mm: float) -> Translator:
    """Read a translator once a process.

    Raises
    ------
    DataError
        It was trained at another voxel size than the run's.
    """
    found = read_translator(Path(folder))
    own = found.config.data.voxel_size_mm
    if abs(own - voxel_size_mm) > 1e-6:
        raise DataError(f"{folder}: draws voxels of {own:g} mm, the run's are {voxel_size_mm:g} mm")
    return found
