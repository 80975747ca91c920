"""How a network is measured while it learns, and before it is given away."""
