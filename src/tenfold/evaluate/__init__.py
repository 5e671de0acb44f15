"""From logits and labels to metrics with confidence intervals."""
