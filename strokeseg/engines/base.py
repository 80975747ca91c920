"""What every inference engine offers, and what a scan through one gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.windows import WindowPlan


@dataclass(frozen=True, eq=False)
class FlipLesion:
    """The lesion as one flip of the scan shows it, turned back to the scan's own orientation.

    Parameters
    ----------
    log_odds : (I, J, K) float32 array
        Lesion logit minus the log of the sum of the other classes' exponentials.
    is_argmax : (I, J, K) bool array
        Whether the lesion's logit is the highest.
    """

    log_odds: FloatArray
    is_argmax: BoolArray


@dataclass(frozen=True, eq=False)
class ScanLogits:
    """The network's answer for one scan.

    Parameters
    ----------
    mean : (C, I, J, K) float32 array
        Logits, averaged over the flips.
    per_flip
        The lesion in each flip, in the order of the flips.
    """

    mean: FloatArray
    per_flip: list[FlipLesion]

    def lean(self, offset: float) -> None:
        """Add to the lesion's logit everywhere, in the mean and in every flip's log-odds.

        What is most probable in a flip (`FlipLesion.is_argmax`) stays as the network has it.
        """
        if offset == 0:
            return
        for lesion in (self.mean[-1], *(flip.log_odds for flip in self.per_flip)):
            lesion += np.float32(offset)


class Engine(Protocol):
    """A network, loaded and ready to run on one device."""

    @property
    def name(self) -> str:
        """The engine: openvino, onnxruntime or torch."""

    @property
    def device(self) -> str:
        """The device: cpu, cuda:0, mps."""

    @property
    def precision(self) -> str:
        """The arithmetic: fp32 or bf16."""

    @property
    def classes(self) -> int:
        """Number of classes C; the lesion is the last."""

    def logits(self, patch: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Run the network on one window.

        Parameters
        ----------
        patch : (I, J, K) or (images, I, J, K) float32 array
            The window; its edges are multiples of the network's stride.
        out : (C, I, J, K) float32 array, optional
            C-contiguous memory for the result.

        Returns
        -------
        (C, I, J, K) float32 array
            Logits, C-contiguous: `out` where it was given, else memory of the caller's own.

        Raises
        ------
        EngineError
            If the engine fails.
        """

    def release(self) -> None:
        """Give back what windows took of memory, where the engine holds any; it stays usable."""


def as_batch(patch: FloatArray) -> FloatArray:
    """Give one image (I, J, K), or several of one window, as a batch (1, images, I, J, K)."""
    return np.ascontiguousarray(patch, dtype=np.float32).reshape(1, -1, *patch.shape[-3:])


@runtime_checkable
class DeviceEngine(Protocol):
    """An engine that goes through a whole scan without leaving its device."""

    def scan(
        self,
        image: FloatArray,
        plan: WindowPlan,
        flips: tuple[tuple[int, ...], ...],
        on_window: Callable[[], None],
    ) -> ScanLogits:
        """Do what `strokeseg.engines.scan.scan_logits` does, on the device."""
