"""GMValuator (arXiv 2304.10701; ICLR 2025): its criteria, and experiments on whether likeness is worth anything."""
