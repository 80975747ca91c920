"""Models: from a name to checked tensors in memory; the Hub, the registry and the golden check."""

from strokeseg.models.config import ModelConfig
from strokeseg.models.finding import (
    FoundModel,
    fetch_model,
    find_model,
    load_model_files,
    locate_model,
)
from strokeseg.models.folder import Model

__all__ = [
    "FoundModel",
    "Model",
    "ModelConfig",
    "fetch_model",
    "find_model",
    "load_model_files",
    "locate_model",
]
