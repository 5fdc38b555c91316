"""Mechanisms and what they cost: exact integer noise, inclusion bits, and accounting on the safe side."""
