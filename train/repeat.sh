#!/bin/sh
# Renders, asks the teacher, trains, measures and exports networks that know photographs: sh train/repeat.sh, from
# the repository's root. A run that was cut off goes on where it was. The networks come into $OUT/models.
#
#   SEGFUSE_DATA   holds camvid/train, camvid/sequence_15hz, sullychen and networks/ (see train/README.md)
#   OUT            takes pictures and checkpoints (about 1.5 GB)       [target/train]
#   PYTHON         with train/ installed                              [.venv/bin/python]
#   SIZES          which networks                                     [small tiny]
#   SEED           of all that is drawn                               [1]
#   WORKERS        processes that draw views; more than 1 for a GPU    [1]
#   RENDER         the renderer, where there is no cargo               [cargo run --release --example ...]
set -eu
DATA=${SEGFUSE_DATA:-../shared/data}
OUT=${OUT:-target/train}
PYTHON=${PYTHON:-.venv/bin/python}
SIZES=${SIZES:-small tiny}
SEED=${SEED:-1}
WORKERS=${WORKERS:-1}
RENDER=${RENDER:-cargo run --quiet --release --example render_training_set --}
segfuse_train() { "$PYTHON" -m segfuse_train "$@"; }

[ -d "$DATA/camvid/train" ] || { echo "$DATA/camvid/train: no such folder; name the data with SEGFUSE_DATA"; exit 1; }
for size in $SIZES; do
    case $size in small | tiny) ;; *) echo "SIZES: no size '$size'; there are small and tiny"; exit 1 ;; esac
done
if [ ! -e "$OUT/rendered" ]; then
    $RENDER "$OUT/judged" 100000 20 3 640x384
    parts=
    for first in $(seq 1 40 561); do
        $RENDER "$OUT/drives" "$first" 40 5 400x240 &
        parts="$parts $!"
    done
    for part in $parts; do
        wait "$part"
    done
    touch "$OUT/rendered"
fi
# Half of the unlabelled drive is learnt from; the rest stays unseen, to be looked at.
mkdir -p "$OUT/frames"
for frame in $(seq 0 50); do
    cp "$DATA/sullychen/$frame.jpg" "$OUT/frames/"
done
segfuse_train teach --teacher "$DATA/networks/espnetv2_s2.0_city_512x1024.onnx" --out "$OUT/teacher" \
    --pictures "camvid:$DATA/camvid/train" --pictures "frames:$OUT/frames"

# What every part learns from, and how.
learn() {
    segfuse_train "$@" --teacher "$OUT/teacher" --seed "$SEED" --workers "$WORKERS" \
        --pictures "camvid:$DATA/camvid/train@3" --pictures "frames:$OUT/frames@0.4" --pictures "trainids:$OUT/drives@1"
}

# What mends carried features, of a network that is learnt, and how.
correct() {
    size=$1
    shift
    segfuse_train correct --network "$OUT/${size}_each/network.pt" --out "$OUT/${size}_corrected" --workers "$WORKERS" \
        --pictures "camvid:$DATA/camvid/train@7" --pictures "video:$OUT/frames@3" --pictures "trainids:$OUT/drives@2" "$@"
}

# The last part looks at far things.
learn_small() {
    learn train --size small --out "$OUT/small" --pasted 0
    learn adapt --from "$OUT/small/network.pt" --out "$OUT/small_again" --steps 4000 --rate 1e-3 --jaccard 1
    learn adapt --from "$OUT/small_again/network.pt" --out "$OUT/small_each" --steps 2000 --rate 1e-3 --jaccard 1 --each 1
    correct small
}

# `tiny` learns as a wider network, which cares most for what is hardly found in the end. It is narrowed then, and learns
# that network's answers.
learn_tiny() {
    last="--batch 4 --scales 0.6 1.4 --jaccard 0.4 --each 1 --areas log"
    learn train --size wide --out "$OUT/wide" --pasted 0
    learn adapt --from "$OUT/wide/network.pt" --out "$OUT/wide_again" --steps 4000 --rate 1e-3 --jaccard 1
    # Unquoted: a word is an option.
    learn adapt --from "$OUT/wide_again/network.pt" --out "$OUT/wide_each" --steps 4000 --rate 1e-3 $last
    segfuse_train narrow --from "$OUT/wide_each/network.pt" --size tiny --out "$OUT/tiny"
    learn adapt --from "$OUT/tiny/network.pt" --distil "$OUT/wide_each/network.pt" --out "$OUT/tiny_each" --steps 3500 \
        --rate 1.5e-3 $last
    correct tiny --steps 3000
}

for size in $SIZES; do
    "learn_$size"
    segfuse_train export --network "$OUT/${size}_corrected/network.pt" --name "$size" --out "$OUT/models/$size"
    segfuse_train evaluate --network "$OUT/models/$size" --pictures "camvid:$DATA/camvid/sequence_15hz"
    segfuse_train conditions --network "$OUT/models/$size" --pictures "trainids:$OUT/judged" --out "$OUT/conditions/$size"
done
