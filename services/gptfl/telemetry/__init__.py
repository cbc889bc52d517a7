"""Events, metrics and logs: what one can see of a run."""
