"""What a session shows: the results, the run, and the state of the page in its URL."""
