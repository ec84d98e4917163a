"""A network that OpenVINO computes."""
