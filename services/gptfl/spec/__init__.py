"""The GPTFLRun resource as types; everything that describes it is derived from them."""
