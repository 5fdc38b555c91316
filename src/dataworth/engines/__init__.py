"""Where work runs: a job mapped over parts, on this machine or on many, with the same results."""
