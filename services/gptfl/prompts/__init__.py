"""Stage 1: from label names to sentences."""
