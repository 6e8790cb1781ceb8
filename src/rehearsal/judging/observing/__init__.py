"""What the probes saw: every sample folded once, how long answers took, and what should have been seen and was not."""
