"""Dashboards: one source, two faces: Grafana and the page that the node itself serves."""
