"""The same site as in the acceptance tests."""

from tests.acceptance.conftest import listener, stable

__all__ = ["listener", "stable"]
