"""Canaries: servers of the rehearsal's own, on which is measured what users feel.

============== ======================================================================
``model``      what was wished for, those that answer, as whom they write
``making``     made, or found again
``place``      their project, user and key
``network``    their network, router and security group
``suitable``   which image, flavor, outer network and computes they get
``hearing``    whether they answer, and what they noticed
``migration``  their live migrations, with libvirt's own account (``domainjob``)
``ledger``     a run's own record of what it makes in a cloud
``clean``      what that record names, removed again
============== ======================================================================
"""
