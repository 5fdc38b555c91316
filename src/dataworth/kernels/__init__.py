"""Pure mathematics: arrays and counts in, arrays out."""
