"""Captioners of Hugging Face transformers: `--captioner hf:NAME` or `hf:FOLDER`."""
