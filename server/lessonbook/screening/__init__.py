"""What may be stored or served: secrets and their redaction, the lint, and what may become a lesson."""
