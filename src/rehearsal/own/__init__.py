"""An operator's own claims: a directory of plain pytest files that runs in the gates beside the built-in suites.

================== ==================================================================
``directory``      where they lie, which files they are, and the fingerprint of those
``ownclaims``      before a run: which claims there are, or what is wrong with them
``marking``        what a test says about itself: id, gates, hosts, time limit
``items``          a collected test as a claim, with its marking
``ownsession``     the pytest plugin of a session with own claims
``listing``        the same session when it only lists its claims, with what is wrong
================== ==================================================================

The fixtures that own claims get are in `fixtures/`, what they may import is `rehearsal.api`, and docs/own-claims.md is
what an operator reads. They run in a process of their own: whatever they do, the built-in suites are not touched.
"""
