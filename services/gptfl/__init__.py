"""GPT-FL as one resource: synthetic data from label names, federated fine-tuning, an endpoint."""
