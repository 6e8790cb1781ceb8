"""Outages of a service (``union``), charged to what was being done (``troubles``), against what is allowed (``budgets``, ``rules``)."""
