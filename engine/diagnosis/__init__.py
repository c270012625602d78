"""What is wrong with a caption: failure tags and grounding."""
