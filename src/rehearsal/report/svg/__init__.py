"""Drawings: functions of results that return SVG, made of the few shapes of ``elements``."""
