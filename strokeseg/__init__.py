"""Find and measure stroke lesions in brain MRI of any contrast, orientation and resolution.

>>> result = strokeseg.predict({"t1": "a.nii", "flair": "b.nii"})  # doctest: +SKIP
>>> result.volume_ml, len(result.lesions)  # doctest: +SKIP

What is exported here is loaded when it is first used, so that ``import strokeseg`` costs nothing.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from strokeseg._version import __version__

if TYPE_CHECKING:
    from strokeseg.errors import (
        CannotCreateError,
        DataError,
        EngineError,
        InputNotFoundError,
        Interrupted,
        ModelFormatError,
        ReadWriteError,
        StrokesegError,
        UsageError,
        WeightsUnavailableError,
    )
    from strokeseg.measure.lesions import Lesion
    from strokeseg.models.loading import Hardware, LoadedModel, load_model
    from strokeseg.prediction.options import Options
    from strokeseg.prediction.pipeline import predict
    from strokeseg.results.result import Result

__all__ = [
    "CannotCreateError",
    "DataError",
    "EngineError",
    "Hardware",
    "InputNotFoundError",
    "Interrupted",
    "Lesion",
    "LoadedModel",
    "ModelFormatError",
    "Options",
    "ReadWriteError",
    "Result",
    "StrokesegError",
    "UsageError",
    "WeightsUnavailableError",
    "__version__",
    "load_model",
    "predict",
]

_ERRORS = (
    *("CannotCreateError", "DataError", "EngineError", "InputNotFoundError", "Interrupted"),
    *("ModelFormatError", "ReadWriteError", "StrokesegError", "UsageError"),
    "WeightsUnavailableError",
)
_HOMES = {
    **dict.fromkeys(_ERRORS, "strokeseg.errors"),
    "Hardware": "strokeseg.models.loading",
    "Lesion": "strokeseg.measure.lesions",
    "LoadedModel": "strokeseg.models.loading",
    "Options": "strokeseg.prediction.options",
    "Result": "strokeseg.results.result",
    "load_model": "strokeseg.models.loading",
    "predict": "strokeseg.prediction.pipeline",
}


class _Checkout(MetaPathFinder):
    """Finds training/ and weights/ beside the package, where a checkout has them.

    They are installed inside it; but Python in a checkout's root finds the package there, before
    any that is installed.
    """

    root = Path(__file__).resolve().parent.parent

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Give where one of the two lies, nothing for any other name."""
        del path, target
        name = fullname.removeprefix("strokeseg.")
        if f"strokeseg.{name}" != fullname or name not in ("training", "weights"):
            return None
        folder = self.root / name
        return spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


if all((_Checkout.root / file).is_file() for file in ("pyproject.toml", "weights/registry.toml")):
    sys.meta_path.append(_Checkout())


def __getattr__(name: str) -> object:
    """Load what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'strokeseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List what is exported, loaded or not."""
    return sorted(__all__)
