"""Normalisation of training images on their device, as `strokeseg.intensity` does at test time."""

import torch

from strokeseg.foreground import zscore_foreground
from strokeseg.intensity import Normalisation
from strokeseg.training.intensity import clip_to_percentiles

BINS = 256
TOP = 255.0
PERCENTILES = (1.0, 99.0)


def normalise(image: torch.Tensor, how: Normalisation) -> torch.Tensor:
    """Bring an image (I, J, K) to the intensities that the network sees at test time."""
    if how == "foreground":
        # On the CPU these are the same bytes; a GPU waits for some 10 ms.
        normalised = torch.from_numpy(zscore_foreground(image.detach().cpu().numpy()))
        return normalised.to(image.device)
    if how == "histogram":
        image = equalise(image)
    elif how == "percentile":
        image = clip_to_percentiles(image, PERCENTILES)
    deviation = image.std(correction=0)
    return (image - image.mean()) / (deviation + (deviation == 0))


def equalise(image: torch.Tensor) -> torch.Tensor:
    """Map intensities to 0 to 255 through their cumulative histogram of 256 bins.

    The same mapping as `strokeseg.intensity.equalise_histogram`, for any device.
    """
    low, high = image.min(), image.max()
    position = (image - low) * (BINS / (high - low).clamp_min(1e-12))
    bins = position.long().clamp_(0, BINS - 1)
    counts = torch.zeros(BINS, dtype=torch.float64, device=image.device)
    counts.scatter_add_(0, bins.reshape(-1), torch.ones_like(bins.reshape(-1), dtype=torch.float64))
    cumulative = counts.cumsum(0)
    levels = (cumulative - cumulative[0]) * (TOP / (cumulative[-1] - cumulative[0]).clamp_min(1))
    levels = torch.cat((levels, levels[-1:])).float()
    position = (position - 0.5).clamp_(0, BINS - 1)
    below = position.long()
    return torch.lerp(levels[below], levels[below + 1], position - below)
