"""The prober's second process: what reaches a canary, by ICMP, TCP and UDP."""
