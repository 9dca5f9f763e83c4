"""One small module a venue or source; decoding only."""
