"""Job records on the real servers, for what workers do besides painting."""

from tests.api.conftest import records, valkey

__all__ = ["records", "valkey"]
