"""The prober: a process of its own that asks the cloud on an open-loop schedule and records what became of each ask.

Map: `spec` what a probe is and what is refused; `lanes` which probes an endpoint or a canary gets; `schedule` when a
sample is due; `loop` one process's ticks, sockets and deadlines; `exchange` one HTTP/1.1 request on the wire; `response`
reading an answer; `answers` what a good answer is and who made a bad one; `web`, `icmp`, `flow` the lanes; `control` the
local responder that must never fail; `pending` samples that wait for their echo;
`reach` the second process (ICMP, TCP, UDP) and `reaching` the first one's side of it; `recorder` and `recording` what
becomes of a sample: journal and sample store;
`beat` how well the prober itself is doing; `process` the first process; `client` the runner's side;
`known` and `calibrate` outages of known length, made on services of our own and measured.

Invariant: nothing here retries, reconnects, redirects or caches behind the back of a sample.
"""
