"""From a job to records."""
