"""Head-to-head: many seeds of several algorithms, equal budgets, the same tracks, honest statistics."""
