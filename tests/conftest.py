"""For all tests: random examples are drawn for as long as a busy machine needs."""

from hypothesis import HealthCheck, settings

settings.register_profile("gptfl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gptfl")
