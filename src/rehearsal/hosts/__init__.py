"""Hosts, as SSH shows them: one round trip a host.

================ ===================================================================
``ssh``          a command on a host, and what runs on many of them
``view``         one look at each host, as the suites judge it
``observe_host`` what a look tells: this file travels to the host
``backends``     the API servers behind HAProxy, from its own configuration
================ ===================================================================
"""
