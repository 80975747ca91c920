"""A trained translator: its files, and scans drawn with it."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.files.atomic import write_atomically, write_text
from strokeseg.models.tensors import read_tensors
from strokeseg.training.translation.classes import NAMES
from strokeseg.training.translation.generators import Generator, build_generator
from strokeseg.training.translation.settings import TranslatorConfig, as_plain, translator_of

WEIGHTS, RECORD = "translator.safetensors", "translator.json"
PREFIX = "translated:"
BATCH = 16


@dataclass(frozen=True, eq=False)
class Translator:
    """A generator with the configuration that it was trained by."""

    config: TranslatorConfig
    generator: Generator

    @property
    def name(self) -> str:
        """What its sequence is called in a run."""
        return PREFIX + self.config.name

    def draw(self, labels: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw images (N, A, B), 0 to 255, of label maps (N, A, B); 0 where there is no brain.

        Parameters
        ----------
        labels : (N, A, B) uint8, of a translator of 3 dimensions (N, I, J, K)
            Classes of the translator, on its voxel size. The slices share one noise where it is
            noise of one place, so that neighbours look alike.
        seed
            Of the noise; other seeds give other images of the same labels.

        Raises
        ------
        DataError
            Slices for a translator of scans.
        """
        edges = labels.shape[1:]
        if len(edges) != self.config.dimensions:
            raise DataError(f"{self.name}: draws images of {self.config.dimensions} axes alone")
        stride = 2 ** (len(self.config.generator.channels) - 1)
        pads = [pad for edge in reversed(edges) for pad in (0, -edge % stride)]
        padded = torch.nn.functional.pad(labels, pads)
        source = torch.Generator().manual_seed(seed)
        noise = self.generator.noise(1, padded.shape[1:], source).to(labels.device)
        drawn = []
        # Dropout draws from the global generator alone, which is given back as it was.
        half = self.config.fit.precision == "bf16"
        with (
            torch.random.fork_rng(),
            torch.inference_mode(),
            torch.autocast(labels.device.type, torch.bfloat16, enabled=half),
        ):
            torch.manual_seed(seed)
            for part in torch.split(padded, BATCH):
                image = self.generator(part, noise.expand(len(part), *noise.shape[1:]))
                drawn.append(image[:, 0].float())
        within = (slice(None), *(slice(edge) for edge in edges))
        grey = (torch.cat(drawn)[within] + 1) * 127.5
        return grey.clamp(0, 255) * (labels > 0)

    def draw_scan(self, labels: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw a scan (I, J, K) of labels (I, J, K): the mean of those drawn plane by plane.

        At once by a translator of 3 dimensions.
        """
        if self.config.dimensions == 3:
            return self.draw(labels[None], seed)[0]
        total = torch.zeros(labels.shape, dtype=torch.float32, device=labels.device)
        for axis in range(3):
            slices = labels.movedim(axis, 0)
            filled = slices.flatten(1).any(dim=1).nonzero()[:, 0]
            if not len(filled):
                continue
            drawn = torch.zeros(slices.shape, dtype=torch.float32, device=labels.device)
            drawn[filled] = self.draw(slices[filled].contiguous(), seed + axis)
            total += drawn.movedim(0, axis)
        return total / 3


def write_translator(
    folder: Path, config: TranslatorConfig, tensors: dict[str, FloatArray]
) -> Path:
    """Write the weights of a generator and what it is; gives the weights' path."""
    buffer = io.BytesIO(save({name: torch.from_numpy(value) for name, value in tensors.items()}))
    write_text(
        folder / RECORD,
        json.dumps({"classes": NAMES, "configuration": as_plain(config)}, indent=2) + "\n",
    )
    write_atomically(folder / WEIGHTS, [buffer.getvalue()])
    return folder / WEIGHTS


def read_translator(folder: Path) -> Translator:
    """Read what `strokeseg train-translator` left in its folder.

    Raises
    ------
    InputNotFoundError
        There is no translator.
    DataError
        It was trained on other labels, or its weights are those of another network.
    """
    path = folder / RECORD
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise InputNotFoundError(
            f"{folder}: holds no translator ({WEIGHTS}); strokeseg train-translator makes it"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        classes, document = tuple(record["classes"]), record["configuration"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a translator's record ({error})") from error
    if classes != NAMES:
        raise DataError(
            f"{path}: draws from {', '.join(map(str, classes))}, not {', '.join(NAMES)}"
        )
    config = translator_of(document, str(path))
    generator = build_generator(config)
    stored = read_tensors(folder / WEIGHTS)
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in stored.items()}
    try:
        generator.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(f"{folder / WEIGHTS}: is of another network than {path} says") from error
    # Dropout stays on (functional), as the paper has it; the norms know no other mode.
    return Translator(config, generator.eval())
