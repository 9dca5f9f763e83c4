"""The parts of the alert feeder: lease, outbox, dispatch, routing, enrichment. Wired together in feeders/alerts.py."""
