"""Scans in, a result out; `pipeline` is the order of the steps."""
