"""Commands, and the one composition root."""
