"""Stage 6: from weights to an endpoint that answers."""
