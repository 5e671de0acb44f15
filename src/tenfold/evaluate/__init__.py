"""From logits and labels to figures with intervals."""
