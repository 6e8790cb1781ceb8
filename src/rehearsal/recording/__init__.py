"""A recording: what is written during a run, and how it is read again.

================ ===================================================================
``rundir``       the directory of one run, and how it is found again
``events``       every kind of record that a journal can hold
``journal``      append-only journals, one writer a file
``samples``      the store of samples; ``sampleclass``, ``sampleflags``: what one sample says
``chain``        checksums of lines and blocks; ``frames``: sample files under them
``stretch``      a place in a run, and every name that a recording gives to one
``naming``       names of what a run makes in a cloud
``private``      files for their operator alone
``runfiles``     files of a run directory that somebody else may have made
``declarations`` where a probe's packets go, also in recordings that left it to the probe's name
``history``      the one reader of a recording; ``boots``: one clock over reboots; ``samplestream``: its samples
``closing``      what the files were when an attempt ended, and the verdict then
``export``       samples as comma-separated values
================ ===================================================================
"""
