"""The second stage of a model: what it learns from, and what a step of its training does."""
