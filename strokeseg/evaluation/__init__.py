"""Masks against the truth: metrics, pairs, statistics, the comparison of two models."""
