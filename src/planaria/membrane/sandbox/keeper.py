"""The keeper: an OS process of its own that sets a sandbox up, watches one program in it, and ends all of it.

    python -m planaria.membrane.sandbox.keeper PLAN      (a descriptor)

It is two processes. The front one belongs to the node's process group and dies with the node, whoever kills which of
them; its end is how the other one, the keeper proper, learns that everything must go. So nothing a program does, and no
kill of ours, leaves processes, cgroups or folders behind. Its output is the program's. Standard library only: it starts
in some 30 ms, so nothing is imported that need not be.
Does badly: what is watched rather than limited may be exceeded for 50 ms (a second, by what stays); what others write
meanwhile counts, too, as what fills the disk.
"""

import fcntl
import os
import resource
import select
import sys
import time

from planaria.membrane.sandbox import family, kernel
from planaria.membrane.sandbox.cgroups import Group
from planaria.membrane.sandbox.paths import Granted, PathError, Places, open_places
from planaria.membrane.sandbox.plan import Plan, Report, read_plan, write_report
from planaria.membrane.sandbox.starting import (
    Broken,
    Refused,
    Started,
    exit_code_of,
    how_counted,
    limits_of,
    start_bubblewrap,
    start_landlock,
)

LOOK = 0.05
"""Seconds between two looks at what the kernel does not limit."""
SELDOM, STAYS = 1.0, 3600.0
"""Seconds between two looks at a program that may stay for longer than that: each costs processor time."""
MANY_FILES = 50_000
"""By so many files a disk may fill up."""
ANSWER = 3
"""The descriptor a program writes its answer to."""
_KILLED = 128 + 9
_BY_SIGNAL = {128 + 24: "cpu", 128 + 25: "file_size"}  # SIGXCPU, SIGXFSZ


class Run:
    """One run, from a plan to a report."""

    def __init__(self, plan: Plan, lifeline: int) -> None:
        self.plan = plan
        self.lifeline = lifeline
        self.group = Group.make(str(os.getpid()), plan.limits.memory_bytes, plan.limits.processes)
        self.by_kernel = os.geteuid() != 0 and "pids" not in self.group.folders
        """Whether the kernel is to count the processes of our user; it never does so for root."""
        self.disks: list[tuple[int, int, int, int]] = []
        self.killed_by: str | None = None
        self.use = family.Use()
        self.started: Started | None = None

    def go(self) -> Report:
        """Run the program to its end.

        Raises:
            Refused, Broken, OSError: it was not run.
        """
        plan, cover = self.plan, self.plan.backend == "bubblewrap"
        try:
            granted = Granted(
                plan.read, plan.write, plan.kept, plan.hidden, plan.below, plan.dotted, plan.over
            )
            places = open_places(granted, cover=cover)
        except PathError as error:
            raise Refused(str(error)) from error
        limits = limits_of(
            plan,
            memory="memory" not in self.group.folders,
            processes=self._most_processes(),
        )
        started = start_bubblewrap(plan, places) if cover else start_landlock(plan, places, limits)
        self.started = started
        if cover:
            for limit, value in limits.items():
                # Only now, in its namespace: before it the user's other processes would count, too.
                resource.prlimit(started.inner, limit, (value, value))
        self.group.add(started.inner)
        self._note_disks(places, started.folder)
        begun = time.monotonic()
        os.write(started.gate, b"\n")
        _let_go_of_output()
        status = self._watch(started.main, begun + plan.limits.wall_seconds)
        if not family.end(os.getpid()):
            raise Broken("some of its processes could not be ended")
        exit_code = exit_code_of(started.told) if cover else status
        return self._report(exit_code, time.monotonic() - begun, started.weaker)

    def _most_processes(self) -> int:
        """How many our user may have, where the kernel counts: in a namespace of its own, or on the whole machine."""
        if not self.by_kernel:
            return 0
        others = 0 if self.plan.backend == "bubblewrap" else family.count_of_user(os.geteuid())
        return others + self.plan.limits.processes

    def close(self) -> None:
        """End what is left, and take away what was made for the run."""
        family.end(os.getpid())
        self.group.remove()
        if self.started and self.started.folder:
            try:
                _remove(self.started.folder)
            except (OSError, RecursionError):
                pass  # nested too deep: it stays, in a folder of the system's for such things

    def _watch(self, main: int, until: float) -> int:
        """Wait for the end of the program, or bring it about; its exit code."""
        ended = os.pidfd_open(main)
        poll = select.poll()
        poll.register(self.lifeline, select.POLLIN | select.POLLHUP)
        poll.register(ended, select.POLLIN)
        status = -1
        look = SELDOM if self.plan.limits.wall_seconds > STAYS else LOOK
        while status < 0:
            ready = {each for each, _ in poll.poll(look * 1000)}
            if self.lifeline in ready:
                raise SystemExit(0)  # nobody waits for a report any more
            if self.killed_by is None and ended not in ready:
                self.killed_by = self._exceeded(until)
                if self.killed_by:
                    status = _KILLED
                    break
            if (done := family.collect().get(main)) is not None:
                code = os.waitstatus_to_exitcode(done)
                status = 128 - code if code < 0 else code
        os.close(ended)
        return status

    def _exceeded(self, until: float) -> str | None:
        limits, group = self.plan.limits, self.group
        if time.monotonic() >= until:
            return "time"
        if group.out_of_memory():
            return "memory"
        now = (
            family.use_of(os.getpid())
            if {"memory", "pids", "cpuacct"} - group.folders.keys()
            else family.Use()
        )
        self.use = family.Use(now.processes, max(now.memory, self.use.memory), max(now.cpu, self.use.cpu))
        if "memory" not in group.folders and now.memory > limits.memory_bytes:
            return "memory"
        exact = "pids" in group.folders or (self.by_kernel and self.plan.backend == "bubblewrap")
        if not exact and now.processes > limits.processes + 3:
            return "processes"
        if max(group.cpu(), now.cpu) > limits.cpu_seconds:
            return "cpu"
        for disk, blocks, files, allowed in self.disks:
            state = os.fstatvfs(disk)
            if (blocks - state.f_bfree) * state.f_frsize > allowed or files - state.f_ffree > MANY_FILES:
                return "disk"
        return None

    def _note_disks(self, places: Places, temporary: str) -> None:
        seen: set[int] = set()
        watched = [(place.descriptor, self.plan.limits.disk_bytes) for place in places.write]
        if temporary:
            watched.append((os.open(temporary, os.O_PATH), self.plan.limits.temporary_bytes))
        for descriptor, allowed in watched:
            device = os.fstat(descriptor).st_dev
            if device not in seen:
                seen.add(device)
                state = os.fstatvfs(descriptor)
                self.disks.append((descriptor, state.f_bfree, state.f_ffree, allowed))

    def _report(self, exit_code: int | None, wall: float, weaker: tuple[str, ...]) -> Report:
        group = self.group
        if self.killed_by is None and group.out_of_memory() and exit_code != 0:
            self.killed_by = "memory"
        broken = "bubblewrap could not make the sandbox" if exit_code is None and not self.killed_by else ""
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        by_group = f"cgroup v{group.version}"
        return Report(
            exit_code=_KILLED if exit_code is None or self.killed_by else exit_code,
            killed_by=self.killed_by or _BY_SIGNAL.get(exit_code or 0),
            wall=wall,
            cpu=max(group.cpu(), self.use.cpu, spent.ru_utime + spent.ru_stime),
            peak=group.peak() or max(self.use.memory, spent.ru_maxrss * 1024),
            memory=by_group if "memory" in group.folders else "rlimit for each process, watched for all",
            processes=by_group if "pids" in group.folders else how_counted(self.plan.backend),
            cpu_held="rlimit for each process, watched for all",
            disk="rlimit for each file, watched for all" if self.disks else "",
            weaker=weaker,
            broken=broken,
        )


def _let_go_of_output() -> None:
    """Only the program holds its output open now, so that its end can be seen."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _remove(folder: str) -> None:
    """A folder with all in it, whatever modes a program left there. The program has ended; links are not followed."""
    os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)


def _keep(plan: Plan, lifeline: int) -> None:
    """The keeper proper."""
    os.setsid()
    kernel.adopt_orphans()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    run = Run(plan, lifeline)
    try:
        report = run.go()
    except Refused as error:
        report = Report(refused=str(error))
    except (Broken, OSError) as error:
        report = Report(broken=str(error))
    finally:
        run.close()
    write_report(plan.report, report)


def main(descriptor: int) -> None:
    """Run the plan in this descriptor."""
    plan = read_plan(descriptor)
    kernel.die_with(plan.parent)
    # The program must not have the report. The answer it finds under a number it knows; nothing of ours may be there.
    report = fcntl.fcntl(plan.report, fcntl.F_DUPFD_CLOEXEC, ANSWER + 1)
    os.close(plan.report)
    plan = plan._replace(report=report)
    if plan.answer is not None and plan.answer != ANSWER:
        os.dup2(plan.answer, ANSWER, inheritable=True)
        os.close(plan.answer)
    lifeline, life = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(life)
        _keep(plan, lifeline)
        return
    os.close(lifeline)
    os.waitpid(keeper, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
