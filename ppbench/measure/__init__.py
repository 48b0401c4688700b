"""From a job to records: everything that happens between what is asked and what is written."""
