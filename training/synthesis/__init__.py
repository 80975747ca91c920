"""How a sample is made: all is drawn first, then it is built.

It imports `training.data`. Start with `sample`.
"""
