"""Builders: from typed input to objects of Kubernetes; they touch nothing."""
