"""What the lab's ansible containers do when ``osism apply`` asks them to.

On an OSISM manager the ``osism`` command hands a role to a Celery worker, and the worker starts a
run script in its container: ``/run.sh`` in *kolla-ansible*, ``/run-generic.sh`` in *osism-ansible*.
There the run scripts start Ansible; here they start the programs of this package. Everything around
them is the real thing: the command, the queue, the nodes, the containers, the databases.

Where things are, in the order in which a play uses them:

=================== =====================================================================
``kolla_ansible``   the program behind ``/run.sh``: arguments, locks, one role, exit code
``osism_ansible``   the program behind ``/run-generic.sh``: facts, ping, maintenance
``inventory``       groups and hosts as the reconciler left them; Ansible's ``--limit``
``variables``       variables in OSISM's order of precedence, templates resolved
``imagerefs``       which image reference a container gets, from these variables
``remote``          one command on one node over SSH, as the operator
``play``            Ansible's way of going through hosts: tasks, failed hosts, recap, exit code
``site``            all of the above in one value that a role is given
``roles/``          one file per service: what its actions do, in kolla-ansible's order
=================== =====================================================================

Exit codes are Ansible's: 0 done, 1 error before the first task, 2 a host failed, 4 a host was
unreachable. Each command's exit code is checked; there is no task that is "changed" without having
changed something.
"""
