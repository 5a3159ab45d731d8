#!/bin/sh
# Renders, asks the teacher, trains, measures and exports networks that know photographs: sh train/repeat.sh, from
# the repository's root. A run that was cut off goes on where it was. The networks come into $OUT/models.
#
#   SEGFUSE_DATA   holds camvid/train, camvid/sequence_15hz, sullychen and networks/ (see train/README.md)
#   OUT            takes pictures and checkpoints (about 1.5 GB)       [target/train]
#   PYTHON         with train/ installed                              [.venv/bin/python]
#   SIZES          which networks                                     [small tiny]
set -eu
DATA=${SEGFUSE_DATA:-../shared/data}
OUT=${OUT:-target/train}
PYTHON=${PYTHON:-.venv/bin/python}
SIZES=${SIZES:-small tiny}
segfuse_train() { "$PYTHON" -m segfuse_train "$@"; }

[ -d "$DATA/camvid/train" ] || { echo "$DATA/camvid/train: no such folder; name the data with SEGFUSE_DATA"; exit 1; }
if [ ! -e "$OUT/rendered" ]; then
    cargo run --release --example render_training_set -- "$OUT/drives" 1 600 5 400x240
    cargo run --release --example render_training_set -- "$OUT/judged" 100000 20 3 640x384
    touch "$OUT/rendered"
fi
# Half of the unlabelled drive is learnt from; the rest stays unseen, to be looked at.
mkdir -p "$OUT/frames"
for frame in $(seq 0 50); do
    cp "$DATA/sullychen/$frame.jpg" "$OUT/frames/"
done
segfuse_train teach --teacher "$DATA/networks/espnetv2_s2.0_city_512x1024.onnx" --out "$OUT/teacher" \
    --pictures "camvid:$DATA/camvid/train" --pictures "frames:$OUT/frames"
for size in $SIZES; do
    segfuse_train train --size "$size" --out "$OUT/$size" --teacher "$OUT/teacher" --pasted 0 \
        --pictures "camvid:$DATA/camvid/train@3" --pictures "frames:$OUT/frames@0.4" --pictures "trainids:$OUT/drives@1"
    segfuse_train adapt --from "$OUT/$size/network.pt" --out "$OUT/${size}_again" --teacher "$OUT/teacher" \
        --steps 4000 --rate 1e-3 --jaccard 1 \
        --pictures "camvid:$DATA/camvid/train@3" --pictures "frames:$OUT/frames@0.4" --pictures "trainids:$OUT/drives@1"
    segfuse_train adapt --from "$OUT/${size}_again/network.pt" --out "$OUT/${size}_each" --teacher "$OUT/teacher" \
        --steps 2000 --rate 1e-3 --jaccard 1 --each 1 \
        --pictures "camvid:$DATA/camvid/train@3" --pictures "frames:$OUT/frames@0.4" --pictures "trainids:$OUT/drives@1"
    segfuse_train correct --network "$OUT/${size}_each/network.pt" --out "$OUT/${size}_corrected" \
        --pictures "camvid:$DATA/camvid/train@7" --pictures "video:$OUT/frames@3" --pictures "trainids:$OUT/drives@2"
    segfuse_train export --network "$OUT/${size}_corrected/network.pt" --name "$size" --out "$OUT/models/$size"
    segfuse_train evaluate --network "$OUT/models/$size" --pictures "camvid:$DATA/camvid/sequence_15hz"
    segfuse_train conditions --network "$OUT/models/$size" --pictures "trainids:$OUT/judged" --out "$OUT/conditions/$size"
done
