"""The synthetic training that made the bundled weights, and its commands.

It imports everything up to `strokeseg.evaluation`, and nothing but the command line imports it.
Start with `config`, then `synthesis.sample` and `fitting.loop`.
"""
