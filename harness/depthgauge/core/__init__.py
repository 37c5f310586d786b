"""Plain types, the rule that judges, errors and registries."""
