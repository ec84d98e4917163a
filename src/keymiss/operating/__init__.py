"""Looks after a running system: what is wrong, what is served, what the servers report."""
