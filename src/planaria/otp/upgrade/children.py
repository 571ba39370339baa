"""New specifications for the children of a supervisor that runs.

Source: OTP's supervisor: a code change updates the specifications; children that run are left alone, those that are new
are not started, those that are gone from the list stay until they are deleted.
"""

from __future__ import annotations

from planaria.otp.kernel.process import Process
from planaria.otp.servers.wrapper import server_of
from planaria.otp.supervision.child import ChildSpec
from planaria.otp.supervision.supervisor import Child, Supervisor


def change_children(supervisor: Process, *specs: ChildSpec) -> list[object]:
    """Let a supervisor restart its children by these specifications from now on, matched by id.

    A specification made before an upgrade starts the newest version of its class anyway; this is for other arguments,
    names, restart rules, orders.

    Returns:
        The ids of children that are new: start them with `Supervisor.restart_child`.
    Raises:
        TypeError: the process is no supervisor.
        ValueError: two specifications with one id.
    """
    server = server_of(supervisor)
    if not isinstance(server, Supervisor):
        raise TypeError(f"{supervisor!r} is no supervisor with a list of children")
    ids = [spec.id for spec in specs]
    if len(set(ids)) < len(ids):
        raise ValueError(f"two children with one id among {ids!r}")
    before = server.children
    children: dict[object, Child] = {}
    for spec in specs:
        known = before.get(spec.id)
        if known is None:
            children[spec.id] = Child(spec)
        else:
            known.spec = spec
            children[spec.id] = known
    server.children = children | {key: known for key, known in before.items() if key not in children}
    return [key for key in ids if key not in before]
