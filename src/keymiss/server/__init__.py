"""Valkey: key names, the native module, starting a server. Knows nothing of questions."""
