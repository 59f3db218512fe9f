"""How long it takes, and how much memory, to pool a class's runs: `labkit class` on made-up ones.

    python benchmarks/class_runs.py [RUNS] [FOLDER]

The runs are copies of a saved run (by default of the thorough reference run), each as a student's
zip, with times changed by a factor of its own and on one of forty machines. They are made in a
temporary folder and removed again.
"""

import io
import json
import resource
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.harness.cohort import pool
from labkit.harness.run import MACHINE, SUMMARY

REFERENCE = Path(__file__).resolve().parents[1] / "data" / "reference"
TIMES = ["ns_per_message", "ns_low", "ns_high"]
MACHINES = 40
MODELS = ["Processor A", "Processor B 3.2 GHz", "Processor C with Graphics", "Processor D"]


def hand_in(run: Path, folder: Path, number: int) -> None:
    """Write one student's zip."""
    random = np.random.default_rng(number)
    summary = pd.read_csv(run / SUMMARY, keep_default_na=True)
    summary[TIMES] *= float(np.exp(random.normal(0, 0.4)))
    machine = json.loads((run / MACHINE).read_text(encoding="utf-8"))
    which = int(random.integers(0, MACHINES))
    machine |= {"cpu_model": MODELS[which % 4], "kernel": f"6.{which}.0", "started": str(number)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"run/{SUMMARY}", summary.to_csv(index=False))
        archive.writestr(f"run/{MACHINE}", json.dumps(machine))
    (folder / f"Student, A_{number}_file_run ({number}).zip").write_bytes(out.getvalue())


def main() -> int:
    """Make the runs, pool them, say what it took."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    thorough = next(iter(sorted(REFERENCE.glob("*-thorough"))), None)
    run = Path(sys.argv[2]) if len(sys.argv) > 2 else thorough
    if run is None:
        print("name the folder of a saved run", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "handed-in")
        folder.mkdir()
        for number in range(count):
            hand_in(run, folder, number)
        began, cpu = time.perf_counter(), time.process_time()
        pooled = pool(folder, Path(place, "class.parquet"))
        took, used = time.perf_counter() - began, time.process_time() - cpu
        size = pooled.path.stat().st_size
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows = int(pooled.runs["rows"].sum())
        print(f"{len(pooled.runs)} runs of {len(pooled.machines)} machines, {rows} rows:")
        print(
            f"{took:.1f} s, {used:.1f} s of CPU time, at most {most:.0f} MiB, making them included"
        )
        print(f"table of {size / 1e6:.1f} MB")
    return 0 if not pooled.refused else 1


if __name__ == "__main__":
    sys.exit(main())
