"""The regression gate: is a metric of new captions worse than that of old ones by more than a limit, and why."""
