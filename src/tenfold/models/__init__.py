"""Networks: normalised pictures in, logits out."""
