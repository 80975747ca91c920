"""A scan on its working grid becomes what a network sees: normalised, with windows laid over it."""

from dataclasses import replace

from strokeseg.arrays import FloatArray
from strokeseg.engines.windows import WindowPlan, plan_for
from strokeseg.images.intensity import normalise, padding_value
from strokeseg.models.config import ModelConfig


def prepared_image(image: FloatArray, config: ModelConfig) -> FloatArray:
    """Bring a scan (I, J, K) to the intensities that a model's config names."""
    return normalise(
        image, config.normalisation, quantiles=config.quantiles, least=config.least_size
    )


def lay_windows(seen: FloatArray, config: ModelConfig, window: int, overlap: float) -> WindowPlan:
    """Lay windows over a normalised scan (I, J, K), with what the model takes to lie beyond it."""
    plan = plan_for(config.spec, seen.shape, window, overlap, config.least_size)
    return replace(plan, padding=padding_value(seen, config.padding))
