"""Networks as data: specs, blueprint, checked tensors, ONNX graphs, their twins in torch.

It knows no scan and no file, and imports errors and array types alone. Start with `state`.
"""
