"""What happens to a post between `social_raw` and `social_processed`: redaction, symbols, sentiment, budget."""
