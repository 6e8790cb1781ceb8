"""Outages of known length, made on services of our own (``known``) and measured by the prober (``calibrate``)."""
