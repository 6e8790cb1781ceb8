"""The runner: carries out a plan under watch, stops at gates, and can go on after anything.

================== ==================================================================
``run``            the whole of a run, from the first gate to the clean-up
``attempt``        what all who take part share: orders, plan, target, what was before, and the recording
``walk``           from step to step: carried out, waited for, passed by
``gates``          a suite decides whether the run goes on
``snapshots``      what is seen of hosts, cloud and configuration around a step
``orders``         what the operator ordered; what is asked before anything happens
``past``           what earlier attempts did, read from the journal
``steps``          a step's command: started, followed, stopped, found again
``stepshell``      the small process around a command that outlives the runner
``suites``         one suite: pytest in a process of its own, judged by its claims
``ownsuite``       an operator's own claims, beside a suite or alone after a step
``selftest``       the calibration, before anything is decided with the prober
``declared``       the probes that a target and canaries call for, and their load
``watch``          the prober and its probes
``guests``         canaries: up, migrated, removed
``interrupts``     Ctrl-C and SIGTERM
``progress``       what is printed, line by line, and the live block below; ``output``: what others print, in whole lines
``overview``       how the run stands, for that block; ``failing``: which probes fail now
``lock``           who is at work on a run
``plansecrets``    secrets of a plan, until the run is finished
================== ==================================================================
"""
