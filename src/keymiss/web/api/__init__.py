"""Routes for programs: JSON in, JSON out."""
