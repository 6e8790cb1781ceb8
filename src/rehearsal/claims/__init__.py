"""What the suites claim about a cloud, as pure functions: facts in, an `Expectation` out.

================= ==================================================================
``containers``    image references, images, labels, running, health, strangers
``apis``          answers of the APIs, HAProxy's servers, certificates
``agents``        nova services, neutron agents
``computes``      can every compute node give its servers away?
``configuration`` locks, tag overrides, fact cache, disk space
``replacements``  what a step replaced, and what it must leave alone
``downtime``      downtime and slow answers against the budgets of a step
``migrations``    did a live migration succeed?
``comparisons``   before and after; canaries
``images``        images that are needed later
``pytest_plugin`` writes one record for every claim of a suite; ``outcomes`` reads what became of each
``catalogue``     each claim's id, its sentence, its suite, and what it needs
================= ==================================================================

None of the claims opens a connection. Facts that do not suffice raise `NotObserved`.
"""
