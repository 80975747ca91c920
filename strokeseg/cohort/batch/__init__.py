"""Cases done: handed out, claimed, resumed, one after another or many at once.

It imports `cohort.cases`. Start with `run`; `worker` does one case, `resume` decides whether it
is skipped.
"""
