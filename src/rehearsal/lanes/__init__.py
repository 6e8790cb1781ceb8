"""Lanes: what is asked, how often, and what a good answer is. Pure; no socket, no clock.

============ =======================================================================
``table``    every lane, and all that is known of it: the one place that names them
``spec``     what a probe is, and which probes are refused
``declare``  which probes an endpoint, an API server behind it or a canary gets
``rates``    how often each lane asks, usually and as an operator says
``load``     what all of them together cost those who are probed
``answers``  what a good answer is, and who made a bad one
``response`` reading one HTTP/1.1 answer
``writes``   what the write lane makes and removes again
============ =======================================================================
"""
