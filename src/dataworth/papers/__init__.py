"""Published experiments, run again: each is a function of a data folder that returns tables and pictures."""
