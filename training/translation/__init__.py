"""Scans drawn by networks that have seen real ones: image translation, and lesion masks."""
