"""Which image a container gets: the reference that the merged variables lead to."""

from __future__ import annotations

from lab.plays.variables import VariableError
from lab.plays.variables import Variables


def reference(variables: Variables, container: str) -> str:
    """Image reference of a container, with every override of OSISM's chain taken into account.

    Raises:
        VariableError: the inventory does not define the image, or a part of it.

    """
    name = f"{container}_image_full"
    if name not in variables:
        raise VariableError(f"{name} is defined nowhere in the inventory. Type: osism sync inventory")
    return str(variables[name])
