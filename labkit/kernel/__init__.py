"""What the kernel offers and tells: calls, atomics, clocks, limits, objects. Knows nobody."""
