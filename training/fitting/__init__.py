"""The run: batches, losses, loop, checkpoints.

It imports `training.synthesis` and `training.validation`. Start with `loop`.
"""
