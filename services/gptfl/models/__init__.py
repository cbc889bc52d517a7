"""Model families, their training step, and the folder a finished model is kept in."""
