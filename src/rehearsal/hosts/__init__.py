"""Hosts, as SSH shows them: one round trip a host.

================ ===================================================================
``ssh``          a command on a host, and what runs on many of them
``view``         one look at each host, as the suites judge it
``look``         what a look consists of; it travels to the host, with the ``parts`` and what they import
``parts``        what can be seen of a host: each with its shape, and what can be claimed of it
``engine``       Docker and other daemons by their local sockets; travels, also with the witness
``packing``      makes one text of what travels
``backends``     the API servers behind HAProxy, from its own configuration
================ ===================================================================
"""
