"""The captioner of this project, which also loads the study's checkpoints."""
