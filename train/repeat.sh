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

# The last part looks at far things; that of `tiny`, which hardly finds poles, cares most for what is hardly found.
last() {
    case $1 in
    tiny) echo "--steps 4000 --batch 4 --scales 0.6 1.4 --jaccard 0.4 --each 1 --areas log" ;;
    *) echo "--steps 2000 --jaccard 1 --each 1" ;;
    esac
}

for size in $SIZES; do
    learn train --size "$size" --out "$OUT/$size" --pasted 0
    learn adapt --from "$OUT/$size/network.pt" --out "$OUT/${size}_again" --steps 4000 --rate 1e-3 --jaccard 1
    # Unquoted: a word is an option.
    learn adapt --from "$OUT/${size}_again/network.pt" --out "$OUT/${size}_each" --rate 1e-3 $(last "$size")
    segfuse_train correct --network "$OUT/${size}_each/network.pt" --out "$OUT/${size}_corrected" --workers "$WORKERS" \
        --pictures "camvid:$DATA/camvid/train@7" --pictures "video:$OUT/frames@3" --pictures "trainids:$OUT/drives@2"
    segfuse_train export --network "$OUT/${size}_corrected/network.pt" --name "$size" --out "$OUT/models/$size"
    segfuse_train evaluate --network "$OUT/models/$size" --pictures "camvid:$DATA/camvid/sequence_15hz"
    segfuse_train conditions --network "$OUT/models/$size" --pictures "trainids:$OUT/judged" --out "$OUT/conditions/$size"
done
