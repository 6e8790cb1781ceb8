"""What happened on the hosts, on one clock, and when nobody watched them."""
