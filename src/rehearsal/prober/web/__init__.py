"""The prober's first process: requests over HTTP, reads and writes, and everything that is recorded."""
