"""The torch engine: CUDA and Apple GPUs, and any CPU; a scan stays on its device throughout."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import torch
from torch import Tensor

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.engines.base import FlipLesion, ScanLogits
from strokeseg.engines.windows import WindowPlan
from strokeseg.errors import EngineError
from strokeseg.network.state import Spec
from strokeseg.network.torch_modules import build_module, put_channels_last


def devices() -> list[str]:
    """List the devices that this engine can run on here."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


class TorchEngine:
    """A network as a torch module on one device.

    Parameters
    ----------
    spec
        The architecture.
    state
        Its tensors by MONAI's names, already checked.
    device
        ``cpu``, ``cuda:N`` or ``mps``.
    threads
        Threads to use on the CPU, torch's own choice if None.
    precision
        ``fp32``, or ``bf16`` by autocasting.

    Raises
    ------
    EngineError
        If the device cannot hold the network.
    """

    name = "torch"

    def __init__(
        self,
        spec: Spec,
        state: Mapping[str, AnyArray],
        device: str,
        threads: int | None,
        precision: str,
    ) -> None:
        self.device = device
        self.precision = precision
        self.classes = spec.out_channels
        self._device = torch.device(device)
        if threads is not None and self._device.type == "cpu":
            torch.set_num_threads(threads)
        network = build_module(spec).eval().requires_grad_(requires_grad=False)
        network.load_state_dict(
            {name: torch.tensor(np.asarray(value, np.float32)) for name, value in state.items()}
        )
        try:
            self._network = network.to(self._device)
            put_channels_last(self._network)
        except RuntimeError as error:
            raise self._failure("could not load the network", error) from error

    def logits(self, patch: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Run the network on one window; see `strokeseg.engines.base.Engine`."""
        if out is None:
            out = np.empty((self.classes, *patch.shape[-3:]), np.float32)
        try:
            with self._mode():
                image = self._to_device(patch)
                torch.from_numpy(out).copy_(self._run(image))
        except (RuntimeError, MemoryError) as error:
            raise self._failure(f"failed on a window of {_text(patch.shape)}", error) from error
        return out

    def scan(
        self,
        image: FloatArray,
        plan: WindowPlan,
        flips: tuple[tuple[int, ...], ...],
        on_window: Callable[[], None],
    ) -> ScanLogits:
        """Run a whole scan; see `strokeseg.engines.scan.scan_logits`, whose result this equals.

        Padding, flips, weights, sums and the comparison of classes are computed on the device.
        """
        try:
            with self._mode():
                return self._scan(self._to_device(image), plan, flips, on_window)
        except (RuntimeError, MemoryError) as error:
            raise self._failure(f"failed on a scan of {_text(image.shape)}", error) from error

    def release(self) -> None:
        """Give back what torch keeps of a GPU's memory."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _scan(
        self,
        image: Tensor,
        plan: WindowPlan,
        flips: tuple[tuple[int, ...], ...],
        on_window: Callable[[], None],
    ) -> ScanLogits:
        weights = self._to_device(plan.weights)
        scale = torch.zeros(plan.image_shape, device=self._device)
        for part in plan.overlaps:
            scale[part.image] += weights[part.window]
        scale[scale == 0] = 1
        mean = torch.zeros((self.classes, *plan.image_shape), device=self._device)
        per_flip = []
        for axes in flips:
            turned = tuple(axis - 3 for axis in axes)
            stitched = self._stitch(image.flip(turned), plan, weights, on_window)
            if len(plan.starts) > 1:
                stitched /= scale
            stitched = stitched.flip(turned)
            mean += stitched
            others, lesion = stitched[:-1], stitched[-1]
            per_flip.append(
                FlipLesion(
                    (lesion - torch.logsumexp(others, dim=0)).cpu().numpy(),
                    (lesion > others.amax(dim=0)).cpu().numpy(),
                )
            )
        mean /= len(flips)
        return ScanLogits(mean.cpu().numpy(), per_flip)

    def _stitch(
        self, image: Tensor, plan: WindowPlan, weights: Tensor, on_window: Callable[[], None]
    ) -> Tensor:
        """Return the weighted sum over the windows; the plain logits where there is only one."""
        padded = torch.full(
            (*image.shape[:-3], *plan.padded_shape), plan.padding, device=self._device
        )
        i, j, k = (
            slice(before, before + size)
            for before, size in zip(plan.pad_before, plan.image_shape, strict=True)
        )
        padded[..., i, j, k] = image
        sums = torch.zeros((self.classes, *plan.image_shape), device=self._device)
        for start, part in zip(plan.starts, plan.overlaps, strict=True):
            i, j, k = (slice(s, s + e) for s, e in zip(start, plan.window, strict=True))
            logits = self._run(padded[..., i, j, k])[:, *part.window]
            sums[:, *part.image] += (
                logits if len(plan.starts) == 1 else logits * weights[part.window]
            )
            if self._device.type == "cuda":
                # Without waiting, all windows would be reported at once, before any is done.
                torch.cuda.synchronize(self._device)
            on_window()
        return sums

    def _run(self, patch: Tensor) -> Tensor:
        image = patch.reshape(1, -1, *patch.shape[-3:])
        image = image.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        ):
            logits: Tensor = self._network(image)
        return logits[0].float()

    def _to_device(self, array: FloatArray) -> Tensor:
        return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32, device=self._device)

    def _mode(self) -> AbstractContextManager[object]:
        """Compute without gradients, and on CUDA in true fp32, the same at every run."""
        stack = ExitStack()
        stack.enter_context(torch.inference_mode())
        if self._device.type == "cuda":
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                )
            )
        return stack

    def _failure(self, what: str, error: Exception) -> EngineError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return EngineError(
            f"torch on {self.device} {what}: {lines[0].strip()}; "
            "try a smaller --window, --device cpu or another --engine"
        )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
