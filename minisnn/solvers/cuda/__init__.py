"""The fused GPU solver in two parts that need no GPU: kernel source and the host code that launches it."""
