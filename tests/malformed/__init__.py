"""Malformed files end in a result or in one of our errors, soon, and in as little memory as theirs.

`tests.fuzz` tries ten thousand inputs and more for each reader; here are the faults that were found
so, a few hundred new inputs per reader, and the inputs that have ever crashed one.
"""
