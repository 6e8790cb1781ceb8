"""The border: what comes from elsewhere is bounded and made harmless, and what leaves carries no secret.

============= ======================================================================
``bounded``   reading what servers, hosts and guests send: never more than fits, or one sentence
``plaintext`` texts from elsewhere: nothing in them is a command to a terminal
``redact``    secrets, removed where something is written
``terminal``  the one place where anything is printed
============= ======================================================================

Imports nothing of ours but itself, so that every room can ask it.
"""
