"""Data sets, real ones, and how they are dealt out to simulated clients."""
