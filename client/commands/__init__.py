"""The commands of `impasto` that speak to the service, and those that set it up."""
