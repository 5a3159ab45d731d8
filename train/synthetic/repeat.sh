#!/bin/sh
# Renders, trains and exports the shipped network: sh train/synthetic/repeat.sh, from the repository's root.
set -eu
OUT=${OUT:-target/train-synthetic}
PYTHON=${PYTHON:-.venv/bin/python}
if [ ! -e "$OUT/rendered" ]; then
    cargo run --release --example render_training_set -- "$OUT/train" 1 600 5 400x240
    cargo run --release --example render_training_set -- "$OUT/val" 100000 60 3 400x240
    touch "$OUT/rendered"
fi
"$PYTHON" train/synthetic/train.py --train "$OUT/train" --val "$OUT/val" --out "$OUT/run" --steps 2400
"$PYTHON" train/synthetic/export.py --run "$OUT/run" --out models/tiny
