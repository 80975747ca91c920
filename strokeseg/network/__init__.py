"""A network as data: spec, blueprint, checked tensors, ONNX graph, its twin in torch.

It knows no scan and no file, and imports errors and array types alone. Start with `spec`.
"""
