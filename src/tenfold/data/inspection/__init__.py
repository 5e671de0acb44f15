"""What is wrong with pictures and labels, told before any training: nothing is changed, and nothing is extracted."""
