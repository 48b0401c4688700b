"""The paper's labels and claims."""
