"""Template deployments: expressions, expansion, execution and the REST interface of deployments."""
