"""A checkpoint, what is measured of it, and how: through the cache."""
