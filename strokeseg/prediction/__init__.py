"""Scans in, a result out.

It imports `models`, `results` and below. Start with `pipeline`, the order of the steps: `scans`,
`ensemble`, `decision` (where the threshold is applied), `measures`, `record`.
"""
