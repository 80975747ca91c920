"""How fast training data are made and a network is trained: ``python -m tests.benchmarks.train``.

Samples per second of generation, of training, and of both together, on the CPU with one core and
crops of 64^3, 96^3 and 128^3, for the networks of one or more configurations; on CUDA, where there
is one, with 128^3 crops in batches of four, bf16, channels-last, and generation on the device.
Prints a Markdown table. Samples are drawn heads, whatever the configuration mixes in.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from strokeseg.training.config import read_config
from strokeseg.training.data.sources import Sources, load_sources
from strokeseg.training.fitting.batches import Batch, Generation, make_batches
from strokeseg.training.fitting.objective import make_objective
from strokeseg.training.fitting.run import Run, start_run
from strokeseg.training.settings import TrainConfig


@dataclass(frozen=True)
class Setting:
    """One line of the table."""

    name: str
    device: torch.device
    edge_vox: int
    batch: int
    rounds: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", nargs="+", default=["synth-open", "synth-open-half"])
    parser.add_argument("--label-maps", help="a folder; else the configuration's")
    parser.add_argument("--voxel-size-mm", type=float, help="else the configuration's")
    parser.add_argument("--edges", type=int, nargs="*", default=[64, 96, 128])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--heads", type=int, default=2, help="how many heads to read")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    configs = [read_config(name) for name in chosen.config]
    data = replace(configs[0].data, slices="", scans="", slice_share=0.0, scan_share=0.0)
    if chosen.label_maps:
        data = replace(data, label_maps=chosen.label_maps)
    if chosen.voxel_size_mm:
        data = replace(data, voxel_size_mm=chosen.voxel_size_mm)
    configs = [
        replace(
            config, data=data, start_from="", optimiser=replace(config.optimiser, compile=False)
        )
        for config in configs
    ]
    sources = load_sources(few_heads(configs[0], chosen.heads).data)
    settings = [
        Setting(f"CPU, one core, {edge}^3", torch.device("cpu"), edge, 1, chosen.rounds)
        for edge in chosen.edges
    ]
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        settings.append(Setting(f"{name}, 128^3, batch 4", torch.device("cuda"), 128, 4, 30))
    show("| network | setting | generation /s | training /s | together /s | generation's share |")
    show("|---|---|---|---|---|---|")
    for name, config in zip(chosen.config, configs, strict=True):
        for setting in settings:
            show(f"| {name} ({config.architecture}) {measure(setting, sources, config)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    show(f"\npeak memory {peak:.2f} GiB, {len(sources.subjects)} heads")


def few_heads(config: TrainConfig, count: int) -> TrainConfig:
    """Hold out all heads but the first few: reading them takes seconds each."""
    names = sorted(p.name.split(".")[0] for p in Path(config.data.label_maps).glob("*.nii*"))
    kept = [name for name in names if name not in config.data.held_out_maps][:count]
    rest = tuple(name for name in names if name not in kept)
    return replace(config, data=replace(config.data, held_out_maps=rest))


def measure(setting: Setting, sources: Sources, config: TrainConfig) -> str:
    """Time one setting and give its line."""
    config = replace(
        config,
        spatial=replace(config.spatial, crop_vox=(setting.edge_vox,) * 3),
        optimiser=replace(config.optimiser, batch=setting.batch, steps=10_000, precision="bf16"),
    )
    batches = make_batches(sources, config, 0, Generation(setting.device, workers=0))
    run = start_run(config, Path("nowhere"), resume=False, device=setting.device)
    run.model.train()
    fixed = next(batches)
    step(run, fixed, config, setting.device)
    made = timed(lambda: next(batches), setting)
    trained = timed(lambda: step(run, fixed, config, setting.device), setting)
    both = timed(lambda: step(run, next(batches), config, setting.device), setting)
    rates = [setting.batch / seconds for seconds in (made, trained, both)]
    numbers = " | ".join(f"{rate:.2f}" for rate in rates)
    return f"| {setting.name} | {numbers} | {made / (made + trained):.0%} |"


def step(run: Run, batch: Batch, config: TrainConfig, device: torch.device) -> None:
    """Take one optimiser step."""
    image, target = batch
    if device.type == "cuda":
        image = image.contiguous(memory_format=torch.channels_last_3d)
    objective = make_objective(run.model, config)
    with torch.autocast(device.type, torch.bfloat16):
        loss = objective(image, target, config.loss.l2_steps)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.optimiser.clip_norm)
    run.optimiser.step()


def timed(work: Callable[[], object], setting: Setting) -> float:
    """Mean seconds of one call."""
    work()
    synchronise(setting.device)
    started = time.perf_counter()
    for _ in range(setting.rounds):
        work()
    synchronise(setting.device)
    return (time.perf_counter() - started) / setting.rounds


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def show(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
