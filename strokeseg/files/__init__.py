"""What lies on a disk: written whole or not at all, named safely, checked by its sum.

It imports errors and array types alone. Start with `staging`: how the files of a case appear
together.
"""
