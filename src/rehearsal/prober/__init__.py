"""The prober: a process of its own that asks the cloud on an open-loop schedule and records what became of each ask.

Map, from the outside in:
`client` the runner's side; `web.webprocess` the first process; `echo.echoprocess` the second (ICMP, TCP, UDP),
`echo.echoclient` the first one's side of it; `control` the third, a local responder that must never fail.
`schedule` when a sample is due; `loop` one process's ticks, sockets and deadlines; what is asked is in `rehearsal.lanes`.
`web.webprobe`, `web.writing`, `echo.echoes`, `echo.flow` the lanes; `echo.icmp`, `echo.mmsg` what `echoes` puts on the
wire; `echo.direction` which way datagrams were lost; `echo.pending` samples that wait for their echo; `web.exchange` one
HTTP/1.1 request on the wire; `web.tokens` what authenticated reads need.
`sink`, `writer` what becomes of a sample: journal and sample store; `beat` how well the prober itself is doing.

Invariant: nothing here retries, reconnects, redirects or caches behind the back of a sample.
"""
