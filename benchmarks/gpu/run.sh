#!/usr/bin/env bash
# Measures Tenfold on a bare machine with one NVIDIA GPU and no network; see benchmarks/README.md.
#
#   bash benchmarks/gpu/run.sh OUT DATA [--seconds S] PART…
#
# OUT receives results.json, which is rewritten after each line of a part, and log.txt. DATA is what `--data` takes.
# A PART is a name of parts.py, perhaps with arguments: all, step, "speedrun fast94 --seeds 20 --limit 90".
#
# PYTHON  the interpreter, with PyTorch                        (default: python3)
# WHEELS  folder of wheels of what that Python lacks           (default: wheels/ beside this script)
# PEERS   folder of the scripts to compare with                (default: peers/ beside this script)
# WORK    images, caches and compiled kernels; may be reused   (default: tenfold-gpu/ in the temporary folder)
# TENFOLD_GPU_DRY_RUN=1  runs everything on the CPU with tiny sizes
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
export PYTHON=${PYTHON:-python3} WHEELS=${WHEELS:-$here/wheels} PEERS=${PEERS:-$here/peers}
export WORK=${WORK:-${TMPDIR:-/tmp}/tenfold-gpu}
export TENFOLD_CACHE=$WORK/cache TORCHINDUCTOR_CACHE_DIR=$WORK/inductor TRITON_CACHE_DIR=$WORK/triton
export PYTHONUNBUFFERED=1 PYTHONPATH=$repository/src
mkdir -p "$WORK" "$1"
if compgen -G "$WHEELS/*.whl" >/dev/null; then
    if [ ! -f "$WORK/site/.complete" ]; then
        "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$WORK/site" "$WHEELS"/*.whl
        touch "$WORK/site/.complete"
    fi
    PYTHONPATH=$PYTHONPATH:$WORK/site
fi
cd "$repository"
exec "$PYTHON" "$here/parts.py" "$@"
