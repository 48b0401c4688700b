"""The paper's labels from thresholds, beside the paper's own, and its claims."""
