"""The way to the Hugging Face Hub: cache, download, checks; huggingface_hub lives here alone.

`models.finding` calls it. Start with `download`, where the sha256 of a download is checked.
"""
