"""Stage 4: from first weights and private data to the final model."""
