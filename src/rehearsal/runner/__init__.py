"""The runner: carries out a plan under watch, stops at gates, and can go on after anything.

================== ==================================================================
``course``         the whole of a run, from the first gate to the clean-up
``orders``         what the operator ordered; what is asked before anything happens
``past``           what earlier attempts did, read from the journal
``rundir``         the directory of a run
``steps``          a step's command: started, followed, stopped, found again
``stepshell``      the small process around a command that outlives the runner
``suites``         gates: pytest in a process of its own, judged by its claims
``watch``          the prober and its probes
``guests``         canaries: up, migrated, removed
``interrupts``     Ctrl-C and SIGTERM
``progress``       what is printed
================== ==================================================================
"""
