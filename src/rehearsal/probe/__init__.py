"""The prober: a process of its own that asks the cloud on an open-loop schedule and records what became of each ask.

Map, from the outside in:
`client` the runner's side; `process` the first process; `reach` the second (ICMP, TCP, UDP), `reaching` the first one's
side of it; `control` the third, a local responder that must never fail.
`spec` what a probe is and what is refused; `lanes` which probes an endpoint or a canary gets; `schedule` when a sample is
due; `loop` one process's ticks, sockets and deadlines.
`web`, `echoes`, `flow` the lanes; `icmp`, `mmsg` what `echoes` puts on the wire; `pending` samples that wait for their
echo; `exchange` one HTTP/1.1 request on the wire; `response` reading an answer; `answers` what a good answer is and who
made a bad one; `tokens` what authenticated reads need.
`recorder`, `recording` what becomes of a sample: journal and sample store; `beat` how well the prober itself is doing.
`known`, `calibrate` outages of known length, made on services of our own and measured.

Invariant: nothing here retries, reconnects, redirects or caches behind the back of a sample.
"""
