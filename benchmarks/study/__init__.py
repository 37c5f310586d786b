"""The replication of two articles: docs/study-plan.md says what is run and why, `make study` runs it."""
