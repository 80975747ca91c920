"""Find and measure stroke lesions in brain MRI of any contrast, orientation and resolution.

>>> result = strokeseg.predict({"t1": "a.nii", "flair": "b.nii"})  # doctest: +SKIP
>>> result.volume_ml, len(result.lesions)  # doctest: +SKIP

What is exported here is loaded when it is first used, so that ``import strokeseg`` costs nothing.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from strokeseg._version import __version__

if TYPE_CHECKING:
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
    "load_model": "strokeseg.models.loading",
    "predict": "strokeseg.prediction.pipeline",
}

# Python in a checkout's root finds this package there, before any that is installed: the parts that
# are installed inside it, training/ and weights/, lie beside it then.
_BESIDE = Path(__file__).resolve().parent.parent
if (_BESIDE / "pyproject.toml").is_file() and (_BESIDE / "weights/registry.toml").is_file():
    __path__.append(str(_BESIDE))


def __getattr__(name: str) -> object:
    """Load what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'strokeseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List what is exported, loaded or not."""
    return sorted(__all__)
