"""Find what is wrong with data and captions before anyone reads their scores."""
