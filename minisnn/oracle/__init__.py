"""The oracle: it answers whether an implementation of the single-spike layer is right."""
