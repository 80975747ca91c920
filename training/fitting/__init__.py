"""The run: batches, losses, loop, checkpoints."""
