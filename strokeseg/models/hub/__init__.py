"""The way to the Hugging Face Hub: cache, download, checks; huggingface_hub lives here alone."""
