"""Stage 5: the final model against its controls."""
