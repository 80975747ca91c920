"""What a person sees on the terminal; rich lives here alone."""
