"""Measurements of ``sb3-cardqn bench``, one module per measurement."""
