"""The claims of the two articles on depth-scaled second passes, and the probes that only they use."""
