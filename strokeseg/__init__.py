"""Find and measure stroke lesions in brain MRI of any contrast, orientation and resolution.

>>> result = strokeseg.predict({"t1": "a.nii", "flair": "b.nii"})  # doctest: +SKIP
>>> result.volume_ml, len(result.lesions)  # doctest: +SKIP

What is exported here is loaded when it is first used, so that ``import strokeseg`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from strokeseg._version import __version__

if TYPE_CHECKING:
    from strokeseg.errors import StrokesegError
    from strokeseg.measure.lesions import Lesion
    from strokeseg.models.loading import Hardware, LoadedModel, load_model
    from strokeseg.prediction.options import Options
    from strokeseg.prediction.pipeline import predict
    from strokeseg.results.result import Result

__all__ = [
    "Hardware",
    "Lesion",
    "LoadedModel",
    "Options",
    "Result",
    "StrokesegError",
    "__version__",
    "load_model",
    "predict",
]

_HOMES = {
    "Hardware": "strokeseg.models.loading",
    "Lesion": "strokeseg.measure.lesions",
    "LoadedModel": "strokeseg.models.loading",
    "Options": "strokeseg.prediction.options",
    "Result": "strokeseg.results.result",
    "StrokesegError": "strokeseg.errors",
    "load_model": "strokeseg.models.loading",
    "predict": "strokeseg.prediction.pipeline",
}


def __getattr__(name: str) -> object:
    """Load what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'strokeseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
