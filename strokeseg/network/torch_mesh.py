"""The torch twin of a `MeshSpec`: a module whose state dict has the spec's names."""

from torch import Tensor, nn

from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.spec import NORM_EPSILON


class MeshNet(nn.Module):
    """A MeshNet, or the mean of several, built from its spec.

    Parameters
    ----------
    spec
        The architecture.
    """

    def __init__(self, spec: MeshSpec) -> None:
        super().__init__()
        if spec.members == 1:
            self.layers, self.head = _parts(spec)
        else:
            self.member = nn.ModuleList(_Member(spec) for _ in range(spec.members))
        self._members = spec.members

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of a batch of images.

        Parameters
        ----------
        image : (N, 1, I, J, K)
            Of any size.

        Returns
        -------
        (N, C, I, J, K) Tensor
            Logits.
        """
        if self._members == 1:
            return _run(self.layers, self.head, image)
        # One after the other, so that the features of one network alone are in memory.
        total: Tensor = self.member[0](image)
        for other in list(self.member)[1:]:
            total += other(image)
        return total / self._members


class _Member(nn.Module):
    def __init__(self, spec: MeshSpec) -> None:
        super().__init__()
        self.layers, self.head = _parts(spec)

    def forward(self, image: Tensor) -> Tensor:
        return _run(self.layers, self.head, image)


class _Layer(nn.Module):
    def __init__(self, spec: MeshSpec, inputs: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            inputs, spec.channels, 3, padding=dilation, dilation=dilation, bias=spec.bias
        )
        self.norm = _norm(spec)
        self.act = {"RELU": nn.ReLU, "ELU": nn.ELU, "GELU": nn.GELU}[spec.act]()

    def forward(self, features: Tensor) -> Tensor:
        activated: Tensor = self.act(self.norm(self.conv(features)))
        return activated


def _norm(spec: MeshSpec) -> nn.Module:
    if spec.norm == "BATCH":
        return nn.BatchNorm3d(spec.channels, eps=NORM_EPSILON)
    return (
        nn.InstanceNorm3d(spec.channels, eps=NORM_EPSILON)
        if spec.norm != "NONE"
        else (nn.Identity())
    )


def _parts(spec: MeshSpec) -> tuple[nn.ModuleList, nn.Conv3d]:
    inputs = (1, *[spec.channels] * (len(spec.dilations) - 1))
    layers = nn.ModuleList(
        _Layer(spec, count, dilation)
        for count, dilation in zip(inputs, spec.dilations, strict=True)
    )
    return layers, nn.Conv3d(spec.channels, spec.out_channels, 1)


def _run(layers: nn.ModuleList, head: nn.Module, image: Tensor) -> Tensor:
    features = image
    for layer in layers:
        features = layer(features)
    logits: Tensor = head(features)
    return logits
