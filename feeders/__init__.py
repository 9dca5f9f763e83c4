"""Feeders do only what SQL cannot: speak to the world outside and put validated rows on a topic."""
