"""Search over token ids: greedy, sampling, beam search and the study's rule, all beam sizes together."""
