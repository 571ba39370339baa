"""The system calls a program in the sandbox has no business with, and their numbers. Data only; standard library only.

Source: the kernel's `unistd.h` for x86_64 and the generic one (aarch64), up to Linux 6.18. What a later kernel adds is
refused until somebody has looked at it (`LAST`).
"""

from typing import NamedTuple


class Numbers(NamedTuple):
    """Of one call; None where the machine has none of this name."""

    x86_64: int | None
    aarch64: int | None


LAST = 469
"""The highest number that was looked at, the same on both machines."""

REFUSED = {
    # other processes' memory
    "ptrace": Numbers(101, 117),
    "process_vm_readv": Numbers(310, 270),
    "process_vm_writev": Numbers(311, 271),
    "process_madvise": Numbers(440, 440),
    "kcmp": Numbers(312, 272),
    "pidfd_getfd": Numbers(438, 438),
    # mounts and namespaces
    "mount": Numbers(165, 40),
    "umount2": Numbers(166, 39),
    "pivot_root": Numbers(155, 41),
    "chroot": Numbers(161, 51),
    "open_tree": Numbers(428, 428),
    "move_mount": Numbers(429, 429),
    "fsopen": Numbers(430, 430),
    "fsconfig": Numbers(431, 431),
    "fsmount": Numbers(432, 432),
    "fspick": Numbers(433, 433),
    "mount_setattr": Numbers(442, 442),
    "open_tree_attr": Numbers(467, 467),
    "setns": Numbers(308, 268),
    "unshare": Numbers(272, 97),
    # files by another door than their path
    "name_to_handle_at": Numbers(303, 264),
    "open_by_handle_at": Numbers(304, 265),
    "file_setattr": Numbers(469, 469),
    "quotactl": Numbers(179, 60),
    "quotactl_fd": Numbers(443, 443),
    "fanotify_init": Numbers(300, 262),
    "lookup_dcookie": Numbers(212, 18),
    "nfsservctl": Numbers(180, 42),
    "uselib": Numbers(134, None),
    "sysfs": Numbers(139, None),
    "ustat": Numbers(136, None),
    "swapon": Numbers(167, 224),
    "swapoff": Numbers(168, 225),
    # the machine
    "reboot": Numbers(169, 142),
    "sethostname": Numbers(170, 161),
    "setdomainname": Numbers(171, 162),
    "init_module": Numbers(175, 105),
    "finit_module": Numbers(313, 273),
    "delete_module": Numbers(176, 106),
    "kexec_load": Numbers(246, 104),
    "kexec_file_load": Numbers(320, 294),
    "iopl": Numbers(172, None),
    "ioperm": Numbers(173, None),
    "modify_ldt": Numbers(154, None),
    "acct": Numbers(163, 89),
    "settimeofday": Numbers(164, 170),
    "clock_settime": Numbers(227, 112),
    "clock_adjtime": Numbers(305, 266),
    "adjtimex": Numbers(159, 171),
    "syslog": Numbers(103, 116),
    "vhangup": Numbers(153, 58),
    "_sysctl": Numbers(156, None),
    # keys, and large doors into the kernel
    "add_key": Numbers(248, 217),
    "request_key": Numbers(249, 218),
    "keyctl": Numbers(250, 219),
    "bpf": Numbers(321, 280),
    "perf_event_open": Numbers(298, 241),
    "userfaultfd": Numbers(323, 282),
    "move_pages": Numbers(279, 239),
    "migrate_pages": Numbers(256, 238),
    "memfd_secret": Numbers(447, 447),
}
"""Answered with EPERM."""

ABSENT = {
    "io_uring_setup": Numbers(425, 425),
    "io_uring_enter": Numbers(426, 426),
    "io_uring_register": Numbers(427, 427),
    # Their arguments are behind pointers, where a filter cannot look; programs go on with `clone` and `openat`.
    "clone3": Numbers(435, 435),
    "openat2": Numbers(437, 437),
}
"""Answered with ENOSYS, as by a kernel that is older."""

CHECKED = {
    "clone": Numbers(56, 220),
    "socket": Numbers(41, 198),
    "socketpair": Numbers(53, 199),
    "ioctl": Numbers(16, 29),
    "personality": Numbers(135, 92),
    "open": Numbers(2, None),
    "openat": Numbers(257, 56),
    "creat": Numbers(85, None),
    "mknod": Numbers(133, None),
    "mknodat": Numbers(259, 33),
    "chmod": Numbers(90, None),
    "fchmod": Numbers(91, 52),
    "fchmodat": Numbers(268, 53),
    "fchmodat2": Numbers(452, 452),
}
"""Allowed with some arguments."""

OUTSIDE = {
    # of files whose path Landlock does not check
    "chmod": Numbers(90, None),
    "fchmod": Numbers(91, 52),
    "fchmodat": Numbers(268, 53),
    "fchmodat2": Numbers(452, 452),
    "chown": Numbers(92, None),
    "fchown": Numbers(93, 55),
    "lchown": Numbers(94, None),
    "fchownat": Numbers(260, 54),
    "utime": Numbers(132, None),
    "utimes": Numbers(235, None),
    "futimesat": Numbers(261, None),
    "setxattr": Numbers(188, 5),
    "lsetxattr": Numbers(189, 6),
    "fsetxattr": Numbers(190, 7),
    "setxattrat": Numbers(463, 463),
    "removexattr": Numbers(197, 14),
    "lremovexattr": Numbers(198, 15),
    "fremovexattr": Numbers(199, 16),
    "removexattrat": Numbers(466, 466),
    "inotify_add_watch": Numbers(254, 27),
    # what is shared between processes by a number or a name
    "socket": Numbers(41, 198),
    "shmget": Numbers(29, 194),
    "shmat": Numbers(30, 196),
    "shmctl": Numbers(31, 195),
    "msgget": Numbers(68, 186),
    "msgsnd": Numbers(69, 189),
    "msgrcv": Numbers(70, 188),
    "msgctl": Numbers(71, 187),
    "semget": Numbers(64, 190),
    "semop": Numbers(65, 193),
    "semtimedop": Numbers(220, 192),
    "semctl": Numbers(66, 191),
    "mq_open": Numbers(240, 180),
    "mq_unlink": Numbers(241, 181),
    # other processes of the same user
    "setpriority": Numbers(141, 140),
    "ioprio_set": Numbers(251, 30),
    "sched_setparam": Numbers(142, 118),
    "sched_setscheduler": Numbers(144, 119),
    "sched_setattr": Numbers(314, 274),
    "process_mrelease": Numbers(448, 448),
    "pidfd_open": Numbers(434, 434),
    "pidfd_send_signal": Numbers(424, 424),
}
"""Refused too where there are no namespaces, and the program is among the processes and files of the machine."""

OWN_ONLY = {
    "prlimit64": Numbers(302, 261),
    "sched_setaffinity": Numbers(203, 122),
}
"""Without namespaces only for the calling process itself."""

OPEN_ONLY = {"utimensat": Numbers(280, 88)}
"""Without namespaces only for a file that is open, not for one by its name."""

SIGNALS = {
    "kill": Numbers(62, 129),
    "tkill": Numbers(200, 130),
    "tgkill": Numbers(234, 131),
    "rt_sigqueueinfo": Numbers(129, 138),
    "rt_tgsigqueueinfo": Numbers(297, 240),
}
"""Refused where nothing else keeps signals inside."""
