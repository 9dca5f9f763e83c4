"""The control plane of chctl: what stands behind the commands of cli.py."""
