"""Tells what happens on a host while it happens.

These modules travel to the host over SSH, as one text (`hosts.packing`), and run there with its python3, as root.
It only reads: Docker's events, HAProxy's own table, OVN's southbound database, the addresses that the host holds. It needs
nothing but the standard library of Python 3.8 or newer. One process, no threads, no files.

Standard input: the settings as one JSON line, then a line now and then (`{"ping": n}`,
`{"servers": [...], "routers": [...]}`). It ends when standard input ends, when standard output breaks, and when nothing
was heard for SILENCE_S: whatever becomes of the other side or of the network in between, nothing stays behind.

Standard output: one JSON object a line, `k` is its kind; times are this host's wall clock (ns), ordering within the host only.
What cannot be watched is told as a `sight` with its reason: `watching`, `absent` (it is not on this host) or `blind`.
"""
