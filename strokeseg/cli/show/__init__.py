"""What a person sees on the terminal; rich lives here alone.

The commands call it. Start with `lines`.
"""
