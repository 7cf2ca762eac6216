"""ARM JSON templates: expressions, functions and the deployment engine.

`routes.DeploymentRoutes` is the entry; what it needs of the control plane is `target.Target`.
"""
