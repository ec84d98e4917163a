"""Valkey: connections, the native module, starting servers. It knows nothing about questions."""
