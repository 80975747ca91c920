"""Does it help to train on translated images? The experiment of Platscher, Zopes and Federau.

``python -m strokeseg.training.translation_trial LABELS.npz --translator DIR -o DIR`` trains small
2D U-Nets on slices of 10, 50, 200 and all patients, with and without translated images in equally
many steps, and measures them on patients that nobody trained on. What is done is not done again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from strokeseg.arrays import BoolArray, FloatArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.evaluation.metrics.matching import match_lesions
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.files.atomic import write_text
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.data.inputs import lesion_paths
from strokeseg.training.data.lesion_bank import LesionMask, read_bank
from strokeseg.training.translation.classes import LESION
from strokeseg.training.translation.generators import SmallUNet
from strokeseg.training.translation.pairs import Pairs, read_pairs
from strokeseg.training.translation.settings import PairConfig
from strokeseg.training.translation.translator import Translator, read_translator

PLANE = "axial"
# Where the axial slices of the open set lie in MNI152, and their first pixel of 1 mm.
SLICE_MM, FIRST_MM = 18.0, (-78.0, -112.0)
CHANNELS = (8, 16, 32, 64)
BATCH, RATE, SHIFT_VOX = 8, 3e-3, 4
LEAST_LESION_VOX = 4
DRAWN = 600
ARMS = ("real", "translated", "generated")


@dataclass(frozen=True)
class Trial:
    """One run: how many patients, which arm, which seed, for how long."""

    patients: int
    arm: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.patients:04d}-{self.arm}-{self.seed}"


@dataclass(frozen=True)
class Slices2D:
    """Images (N, A, B) uint8 and their lesions (bool)."""

    images: LabelArray
    lesions: BoolArray


def of_plane(pairs: Pairs) -> tuple[Slices2D, LabelArray]:
    """Give the slices of the trial's plane, with lesions, and their label maps."""
    kept = np.array([plane == PLANE for plane in pairs.planes])
    labels = pairs.labels[kept]
    return Slices2D(pairs.images[kept], labels == LESION), labels


def translate_slices(
    translator: Translator, labels: LabelArray, masks: BoolArray, seed: int
) -> Slices2D:
    """Draw slices: label maps without lesion, each with the lesion of some mask (M, A, B) in it."""
    rng = np.random.default_rng([seed, 1])
    free = np.flatnonzero(~(labels == LESION).any(axis=(1, 2)))
    filled = np.flatnonzero(masks.sum(axis=(1, 2)) >= LEAST_LESION_VOX)
    if not free.size or not filled.size:
        raise DataError("no slice without lesion to draw in, or no mask to draw")
    maps = []
    for place in rng.choice(free, DRAWN):
        mask = masks[int(rng.choice(filled))]
        mask = mask[::-1] if rng.random() < 0.5 else mask
        maps.append(np.where(mask & (labels[place] > 0), LESION, labels[place]))
    drawn = np.stack(maps).astype(np.uint8)
    images = []
    for number, part in enumerate(np.array_split(drawn, max(1, DRAWN // 8))):
        images.append(translator.draw(torch.from_numpy(part), int(rng.integers(2**31)) + number))
    grey = torch.cat(images).round().numpy().astype(np.uint8)
    return Slices2D(grey, drawn == LESION)


def masks_of_bank(bank: Sequence[LesionMask], edge: int, shape: tuple[int, int]) -> BoolArray:
    """Cut masks in MNI152 where the slices lie, on their canvas of 2 mm, (N, edge, edge).

    `shape` is that of the slices before they were centred in the canvas.
    """
    a, b = (
        first + 0.5 + 2 * (np.arange(edge) - (edge - size) // 2)
        for first, size in zip(FIRST_MM, shape, strict=True)
    )
    points = np.stack(np.meshgrid(a, b, [SLICE_MM], indexing="ij"), axis=-1)[:, :, 0]
    cut = np.zeros((len(bank), edge, edge), np.bool_)
    for number, lesion in enumerate(bank):
        to_voxel = np.linalg.inv(lesion.affine)
        voxels = np.round(points @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
        inside = np.all((voxels >= 0) & (voxels < lesion.mask.shape), axis=-1)
        cut[number][inside] = lesion.mask[tuple(voxels[inside].T)] > 0
    return cut


def train_segmenter(trial: Trial, real: Slices2D, drawn: Slices2D | None) -> SmallUNet:
    """Train on real slices, and, where there are drawn ones, on them for half of each batch."""
    torch.manual_seed(trial.seed)
    model = SmallUNet(1, 1, CHANNELS)
    adam = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in range(trial.steps):
        rng = np.random.default_rng([trial.seed, step])
        parts = [_draw(real, BATCH if drawn is None else BATCH // 2, rng)]
        if drawn is not None:
            parts.append(_draw(drawn, BATCH // 2, rng))
        images, lesions = (torch.cat(group) for group in zip(*parts, strict=True))
        for group in adam.param_groups:
            group["lr"] = RATE * (1 - step / trial.steps) ** 0.9
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images).float()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, lesions)
        loss = entropy + _dice_loss(logits.sigmoid(), lesions)
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return model.eval()


def _dice_loss(shares: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Soft Dice of a whole batch, from 1."""
    both = (shares * truth).sum()
    return 1 - (2 * both + 1) / (shares.sum() + truth.sum() + 1)


def _draw(source: Slices2D, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Draw slices, two in three with lesion: mirrored, shifted, of other brightness and noise."""
    with_lesion = np.flatnonzero(source.lesions.sum(axis=(1, 2)) >= LEAST_LESION_VOX)
    images, lesions = [], []
    for _ in range(count):
        wanted = with_lesion.size and rng.random() < 2 / 3
        index = int(rng.choice(with_lesion)) if wanted else int(rng.integers(len(source.images)))
        turn = -1 if rng.random() < 0.5 else 1
        shift = rng.integers(-SHIFT_VOX, SHIFT_VOX + 1, 2)
        grey = source.images[index].astype(np.float32) / 200
        grey = grey ** rng.uniform(0.8, 1.25) * rng.uniform(0.85, 1.15)
        grey += (grey > 0) * rng.normal(0, rng.uniform(0, 0.08), grey.shape)
        images.append(np.roll(grey[::turn], shift, (0, 1)))
        lesions.append(np.roll(source.lesions[index][::turn], shift, (0, 1)))
    image = torch.from_numpy(np.stack(images).astype(np.float32))[:, None]
    return image, torch.from_numpy(np.stack(lesions)).float()[:, None]


def measure(model: SmallUNet, test: Slices2D) -> dict[str, list[float]]:
    """Give Dice and lesion F1 of each slice with lesion, and the false cm2 of each without."""
    scores: dict[str, list[float]] = {"dice": [], "f1": [], "false_cm2": []}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        grey = torch.from_numpy(test.images).float()[:, None] / 200
        found = torch.cat([model(part)[:, 0].float() > 0 for part in torch.split(grey, 32)]).numpy()
    for mask, truth in zip(found, test.lesions, strict=True):
        if truth.sum() >= LEAST_LESION_VOX:
            scores["dice"].append(float(dice(mask, truth)))
            match = match_lesions(mask[..., None], truth[..., None])
            scores["f1"].append(match.lf1)
        elif not truth.any():
            scores["false_cm2"].append(float(mask.sum()) * 0.04)
    return scores


def run_trials(trials: Sequence[Trial], folder: Path, setting: "Setting") -> Path:
    """Do what is not done yet, and write the table; gives its path."""
    for trial in trials:
        path = folder / f"{trial.name}.json"
        if path.is_file():
            continue
        order = np.random.default_rng(trial.seed).permutation(len(setting.train.images))
        chosen = order[: trial.patients] if trial.patients else order
        real = Slices2D(setting.train.images[chosen], setting.train.lesions[chosen])
        drawn = None
        if trial.arm != "real":
            masks = setting.masks[trial.arm]
            drawn = translate_slices(setting.translator, setting.labels, masks, trial.seed)
        scores = measure(train_segmenter(trial, real, drawn), setting.test)
        write_text(path, json.dumps(vars(trial) | scores))
        write_text(folder / "table.md", table(folder))
    return folder / "table.md"


@dataclass(frozen=True)
class Setting:
    """What all runs share: real slices, held-out ones, label maps, masks by arm, a translator."""

    train: Slices2D
    test: Slices2D
    labels: LabelArray
    masks: dict[str, BoolArray]
    translator: Translator


def table(folder: Path) -> str:
    """Write up all runs of a folder: means and deviations over seeds, paired tests over slices."""
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    lines = [
        "| patients | arm | seeds | slice Dice | lesion F1 | false cm2 | Dice against real alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for patients in sorted({run["patients"] for run in runs}, key=lambda n: n or np.inf):
        of_size = [run for run in runs if run["patients"] == patients]
        for arm in ARMS:
            chosen = [run for run in of_size if run["arm"] == arm]
            if not chosen:
                continue
            seeds = {run["seed"] for run in chosen}
            beside = [r for r in of_size if r["arm"] == "real" and r["seed"] in seeds]
            same = [run for run in chosen if run["seed"] in {other["seed"] for other in beside}]
            figures = (_spread([run[key] for run in chosen]) for key in ("dice", "f1", "false_cm2"))
            against = "" if arm == "real" or not beside else _against(same, beside)
            shown = (str(patients or "all"), arm, str(len(seeds)), *figures, against)
            lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[list[float]]) -> str:
    means = np.array([np.mean(one) for one in values])
    deviation = f" +- {means.std(ddof=1):.3f}" if len(means) > 1 else ""
    return f"{means.mean():.3f}{deviation}"


def _against(runs: list[dict[str, list[float]]], others: list[dict[str, list[float]]]) -> str:
    """Compare two arms slice by slice, each the mean over its seeds (Wilcoxon's signed rank)."""
    ours: FloatArray = np.mean([run["dice"] for run in runs], axis=0)
    theirs: FloatArray = np.mean([run["dice"] for run in others], axis=0)
    gain = ours - theirs
    p = float(stats.wilcoxon(gain).pvalue) if np.any(gain) else 1.0
    return f"{gain.mean():+.3f}, p = {p:.2g} (n = {len(gain)})"


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.translation_trial`."""
    parser = command_parser("translation_trial", __doc__)
    parser.add_argument("labels", type=Path, help="what slice_labels wrote")
    parser.add_argument("--translator", type=Path, required=True)
    parser.add_argument("--bank", type=Path, help="drawn masks, for the arm that takes them")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--held-out", default="*3", help="subjects to be measured on")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 50, 200, 0], help="0: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    chosen = parser.parse_args(arguments)
    config = PairConfig(slices=str(chosen.labels), held_out=(chosen.held_out,))
    train, labels = of_plane(read_pairs(config))
    test, _ = of_plane(read_pairs(config, wanted=True))
    masks = {"translated": train.lesions}
    if chosen.bank is not None:
        bank = read_bank(lesion_paths((str(chosen.bank),), (0,), (), held_out=False))
        with np.load(chosen.labels) as stored:
            shape = stored[PLANE].shape[1:]
        masks["generated"] = masks_of_bank(bank, config.edge_vox, shape)
    setting = Setting(train, test, labels, masks, read_translator(chosen.translator))
    trials = [
        Trial(size, arm, seed, chosen.steps)
        for seed in range(chosen.seeds)
        for size in chosen.sizes
        for arm in ARMS
        if arm == "real" or arm in masks
    ]
    chosen.output.mkdir(parents=True, exist_ok=True)
    return str(run_trials(trials, chosen.output, setting))


if __name__ == "__main__":
    run_command(main)
