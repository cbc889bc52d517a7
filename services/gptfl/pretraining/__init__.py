"""Stage 3: from synthetic data to first weights."""
