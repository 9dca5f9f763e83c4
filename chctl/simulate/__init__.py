"""A simulated venue with accounts whose intentions are known, and the project's SQL in-process to judge them."""
