"""What the suites claim about a cloud, as pure functions: facts in, an `Expectation` out.

================= ==================================================================
``containers``    image references, images, labels, running, health, strangers
``apis``          answers of the APIs, HAProxy's servers, certificates
``agents``        nova services, neutron agents
``computes``      can every compute node give its servers away?
``configuration`` locks, tag overrides, fact cache, disk space
``steps``         what a step replaced, and what it must leave alone
``losses``        downtime and slow answers against the budgets of a step
``migrations``    did a live migration succeed?
``comparisons``   before and after; canaries
================= ==================================================================

None of them opens a connection. Facts that do not suffice raise `NotObserved`.
"""
