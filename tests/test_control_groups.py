"""Limits of containers, batch systems and services: control groups of both versions, in one another."""

from pathlib import Path

import pytest

from cmbench.control_groups import V1, V2, free_in_group, free_in_groups

GIB = 2**30
UNLIMITED_V1 = 9223372036854771712  # what the kernel writes


@pytest.fixture
def machine(tmp_path):
    """Return a function that makes a machine: /proc/self and the mounted groups with their limits."""

    def make(cgroup, mounts, groups, *, version=2):
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text("".join(f"{line}\n" for line in cgroup))
        lines = [mount.replace("SYS", str(tmp_path / "sys")) for mount in mounts]
        (proc / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
        for path, values in groups.items():
            write_group(tmp_path / "sys" / path, version=version, **values)
        return proc

    return make


def write_group(folder, *, most, used=0, high="max", cache=(0, 0), version=2):
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        files = {"memory.max": most, "memory.high": high, "memory.current": used}
        stat = f"anon 5\nactive_file {cache[0]}\ninactive_file {cache[1]}\n"
    else:
        files = {"memory.limit_in_bytes": most, "memory.usage_in_bytes": used}
        stat = f"active_file 1\ntotal_active_file {cache[0]}\ntotal_inactive_file {cache[1]}\n"
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(stat)
    return folder


MOUNT_V2 = "35 24 0:30 / SYS rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
MOUNT_V1 = "40 24 0:33 / SYS/memory rw,nosuid shared:12 - cgroup cgroup rw,memory"


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_has_what_its_limit_leaves_and_its_file_cache_counts_as_free(version, tmp_path):
    kind = (V1, V2)[version - 1]

    def left(**values):
        return free_in_group(write_group(tmp_path, version=version, **values), kind)

    assert left(most=1000, used=400) == 600
    assert left(most=1000, used=990, cache=(300, 200)) == 510
    assert left(most=1000, used=1010) == 0
    assert left(most=("max", UNLIMITED_V1)[version == 1], used=400) is None


def test_the_mark_above_which_a_group_is_slowed_down_is_a_limit(tmp_path):
    assert free_in_group(write_group(tmp_path, most="max", high=1000, used=100)) == 900
    assert free_in_group(write_group(tmp_path, most=500, high=1000, used=100)) == 400


def test_a_folder_without_limits_is_no_limit(tmp_path):
    assert free_in_group(tmp_path) is None
    assert free_in_groups(tmp_path / "absent") is None


def test_a_service_of_systemd_has_the_limit_of_the_slice_around_it(machine):
    path = "user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope"
    groups = {
        path: {"most": "max", "used": 1 * GIB},
        "user.slice/user-1000.slice": {"most": 8 * GIB, "used": 3 * GIB},
        "user.slice": {"most": 64 * GIB, "used": 3 * GIB},
    }
    proc = machine([f"0::/{path}"], [MOUNT_V2], groups)
    assert free_in_groups(proc) == 5 * GIB


def test_a_step_of_slurm_has_the_least_of_all_around_it(machine):
    job = "system.slice/slurmstepd.scope/job_7"
    groups = {
        f"{job}/step_0/user/task_0": {"most": "max"},
        f"{job}/step_0/user": {"most": "max", "high": 6 * GIB, "used": GIB},
        f"{job}/step_0": {"most": 8 * GIB, "used": GIB},
        job: {"most": 4 * GIB, "used": GIB},
    }
    proc = machine([f"0::/{job}/step_0/user/task_0"], [MOUNT_V2], groups)
    assert free_in_groups(proc) == 3 * GIB


def test_version_1_of_the_interface_is_known(machine):
    path = "slurm/uid_1000/job_7/step_batch/task_0"
    groups = {
        f"memory/{path}": {"most": UNLIMITED_V1},
        "memory/slurm/uid_1000/job_7": {"most": 3 * GIB, "used": 2 * GIB, "cache": (GIB // 2, 0)},
        "memory": {"most": UNLIMITED_V1},
    }
    lines = ["12:cpuset:/", f"11:cpu,cpuacct:/{path}", f"4:memory:/{path}", "1:name=systemd:/", "0::/x"]
    other = "41 24 0:34 / SYS/cpu rw - cgroup cgroup rw,cpu,cpuacct"
    proc = machine(lines, [other, MOUNT_V1], groups, version=1)
    assert free_in_groups(proc) == GIB + GIB // 2


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/", MOUNT_V2),  # the container sees its own group as the top
        ("/docker/ab12", MOUNT_V2.replace(" / ", " /docker/ab12 ")),
        ("/docker/ab12/inner", MOUNT_V2.replace(" / ", " /docker/ab12 ")),
        ("/docker/ab12", MOUNT_V2),  # the path is the host's, the mount the container's
        ("/../../elsewhere", MOUNT_V2),
    ],
)
def test_a_container_has_its_limit_whatever_path_the_system_gives(path, mount, machine):
    proc = machine([f"0::{path}"], [mount], {".": {"most": GIB, "used": 0}})
    assert free_in_groups(proc) == GIB


def test_a_mount_whose_path_has_a_space_is_found(machine, tmp_path):
    proc = machine(["0::/"], [MOUNT_V2.replace("SYS", r"SYS/a\040place")], {"a place": {"most": GIB}})
    assert free_in_groups(proc) == GIB


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="control groups are Linux's")
def test_the_groups_of_this_process_can_be_read():
    free = free_in_groups()
    assert free is None or free > 0
