"""ARM JSON templates: expressions, functions and the deployment engine."""
