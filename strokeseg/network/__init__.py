"""The networks: their architecture from a config, tensors checked, graphs built without torch."""
