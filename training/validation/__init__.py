"""How a network is measured while it learns, and before it is given away.

It decides as `strokeseg.prediction` does. Start with `cases`, then `scoring`.
"""
