"""Probes: plan checks, run them inside a jump box, judge what came back."""
