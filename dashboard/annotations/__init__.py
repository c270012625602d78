"""What users write: verdicts and saved selections."""
