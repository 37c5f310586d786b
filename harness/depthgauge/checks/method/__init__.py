"""What anything that was trained owes its base: the claims about a method on a testbed that names no suites."""
