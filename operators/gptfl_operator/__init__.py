"""The operator: makes of each GPTFLRun in a cluster what it asks for.

`reconcile` decides and touches nothing; the rest of the package is the shell around it.
"""
