"""The network that OpenVINO computes."""
