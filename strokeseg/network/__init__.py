"""The U-Net: its architecture from a config, its tensors checked, its graph built without torch."""
