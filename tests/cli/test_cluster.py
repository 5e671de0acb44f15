"""What a cluster does to a training: many kills, two machines, and the scripts of docs/cluster.md."""

import contextlib
import os
import random
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from harness.command_line import environment
from harness.processes import SETTINGS, Started, weights, write_images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds child processes in /proc"),
]

DOCS = Path(__file__).parents[2] / "docs" / "cluster.md"
KILLS = 20
SRUN = """#!/bin/bash
for rank in 0 1; do SLURM_NNODES=2 SLURM_NODEID=$rank "$@" > srun-$rank.txt 2>&1 & done
wait
"""


@pytest.mark.timeout(1800)
def test_processes_killed_at_random_moments_end_with_the_bits_of_undisturbed_ones(tmp_path: Path) -> None:
    folder, draws = write_images(tmp_path), random.Random(0)
    new = ("d.npz", *SETTINGS, "--epochs", "30", "--processes", "2", "--no-report")
    started = time.monotonic()
    code, output = Started(folder, *new, "--name", "undisturbed").end()
    seconds = time.monotonic() - started
    assert code == 0, output
    equal = 0
    for number in range(KILLS):
        training = Started(folder, *new, "--name", f"k{number}", "--max-restarts", "3")
        time.sleep(draws.uniform(0.3, 0.8) * seconds)
        pid = training.workers().get(draws.randrange(2))
        if pid is not None:  # else the training was faster than the undisturbed one
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code, output = training.end()
        assert code == 0, output
        equal += weights(folder / "runs" / f"k{number}") == weights(folder / "runs" / "undisturbed")
        print(
            f"kill {number}: {output.count('was killed by SIGKILL')} restarts, {equal} of {number + 1} with equal bits"
        )
    assert equal == KILLS


def test_the_slurm_script_of_the_docs_trains_on_two_machines_and_resumes(tmp_path: Path) -> None:
    script = re.search(r"```bash\n(#!/bin/bash\n.*?)```", DOCS.read_text("utf-8"), re.S)
    assert script is not None
    folder, name = write_images(tmp_path), "12345"
    here = (
        script[1]
        .replace("photos/", f"d.npz {' '.join(SETTINGS)} --epochs 200")
        .replace("--processes gpu", "--processes 1")
    )
    programs = {"srun": SRUN, "scontrol": "#!/bin/bash\necho 127.0.0.1", "job": here}
    for program, text in programs.items():
        (folder / program).write_text(text)
        (folder / program).chmod(stat.S_IRWXU)
    changes = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_JOB_ID": name,
        "SLURM_NNODES": "2",
        "OMP_NUM_THREADS": "1",
    }
    job = subprocess.Popen([folder / "job"], cwd=folder, env=environment(changes), start_new_session=True)
    while not list(folder.glob(f"runs/{name}/checkpoints/step-*")):
        assert job.poll() is None, (folder / "srun-0.txt").read_text()
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGTERM)
    job.wait(60)
    deadline = time.monotonic() + 60
    while "stopped at step" not in (folder / "srun-0.txt").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "stopped at step" in (folder / "srun-0.txt").read_text()
    time.sleep(2)  # the port is free again

    subprocess.run([folder / "job"], cwd=folder, env=environment(changes), check=True, timeout=200)
    outputs = [(folder / f"srun-{rank}.txt").read_text() for rank in range(2)]
    assert "resuming from step" in outputs[0]
    assert f"everything is in runs/{name}" in outputs[0]
    assert outputs[1] == ""
