"""The embedded lab: an OpenStack cloud in OSISM's shape on one machine, made of network namespaces, dockerd and real services.

Rooms, in the order in which `rehearse-lab up` enters them:

    layout      what there is: nodes, addresses, ports, groups, paths (pure data)
    releases    the two OpenStack releases, their locks, namespaces and image tags
    catalogue   every container of every service: name, image, command, health check, mounts (pure data)
    configs     the services' configuration files (pure functions from layout, release and passwords to text)
    host        what the machine must have: preconditions, Debian packages, virtual environments
    nodes       nodes as keeper processes with namespaces of their own; running commands in them
    fabric      the networks between the nodes
    images      thin container images, kept in a directory that plays the registry
    kolla       what kolla-ansible does to one container: pull, write its configuration, recreate it, wait for it
    deploy      the first deployment of the whole cloud
    cloud       the objects every cloud starts with: flavor, image, public network
    manager     the OSISM manager: Redis, Celery workers, `osism`, the configuration repository
    plays       what the manager's run scripts do for `osism apply -a ACTION SERVICE`
    faults      real faults, made on the nodes and mended again
    proofs      which fault turns which check of the suites red
    guest       the guest image

Nothing here is imported by the engine, and nothing in the engine knows that the lab exists. Only `proofs` reads the engine.
"""
