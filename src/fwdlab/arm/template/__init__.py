"""ARM JSON templates: expressions, functions and the deployment engine.

A deployment passes these modules in this order: `request` reads it, `expand` names its resources,
`dependencies` says what they wait for, `preview` checks them with the providers, `runner` deploys them,
and `records` keeps the result. `routes` is the REST interface, `target` what the control plane provides.
"""
