"""The ONNX graph of an ensemble: its networks in a row, and their logits' mean."""

from collections.abc import Sequence

from strokeseg.network.ensemble_spec import EnsembleSpec, network_prefixes
from strokeseg.network.onnx_writer import GraphWriter


def ensemble_graph(spec: EnsembleSpec, parts: Sequence[GraphWriter]) -> GraphWriter:
    """Join the graphs of networks, which are used up; see `strokeseg.network.state.build_onnx`.

    Parameters
    ----------
    spec
        The architecture.
    parts
        The graph of each network.
    """
    graph = GraphWriter(spec.out_channels, spec.in_channels)
    total = ""
    for prefix, part in zip(network_prefixes(spec), parts, strict=True):
        logits = _take(graph, prefix, part, graph.after(total, prefix.rstrip(".")))
        total = graph.node("Add", [total, logits], f"{prefix}sum") if total else logits
    graph.mean(total, len(parts))
    return graph


def _take(graph: GraphWriter, prefix: str, part: GraphWriter, patch: str) -> str:
    """Add a network's nodes and tensors under names of its own; returns its logits."""
    for name, tensor in part.tensors.items():
        tensor.name = prefix + name
        graph.tensors[prefix + name] = tensor
    for node in part.nodes:
        for number, name in enumerate(node.input):
            # An input that is left out has no name.
            node.input[number] = patch if name == "patch" else name and prefix + name
        node.output[0] = node.name = prefix + node.name
        graph.nodes.append(node)
    return f"{prefix}logits"
