"""Jobs in the transactions of callers, by the libraries that they use."""
