"""Stage 2: from sentences to a synthetic data set."""
