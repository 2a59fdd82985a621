"""YAML to a validated model to a plan: the rules and their diagnostics."""
