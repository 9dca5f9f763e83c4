"""`chctl demo`: the whole path on one machine, from a feed to a delivered alert, and a ledger that must balance."""
