"""Prints rate, age, gaps and class shares of a camera's masks. Needs: pip install eclipse-zenoh numpy

    python examples/subscribe.py [vehicle] [camera] [endpoint] [masks]    (docs/wire-format.md has the format)
"""
import json, signal, struct, sys, time
import numpy, zenoh

signal.signal(signal.SIGINT, lambda *_: (print("interrupted", file=sys.stderr, flush=True), sys.exit(130)))
vehicle, camera, endpoint, masks = (sys.argv[1:] + ["vehicle", "front", "tcp/127.0.0.1:7447", "0"][len(sys.argv) - 1:])[:4]
base = f"segfuse/{vehicle}/{camera}"
FIELDS = struct.Struct("<4sBBHHBBHHIIIIQQQQQqQQQQIII")

def stop(sentence, status=1):
    print(sentence, file=sys.stderr)
    sys.exit(status)

if len(sys.argv) > 5 or not masks.isdecimal():
    stop("usage: python subscribe.py [vehicle] [camera] [endpoint] [masks]", 2)
config = zenoh.Config()
try:
    config.insert_json5("connect/endpoints", json.dumps([endpoint]))
except zenoh.ZError:
    stop(f"{endpoint} is no endpoint: write protocol/address, such as tcp/127.0.0.1:7447", 2)
config.insert_json5("listen/endpoints", "[]")
config.insert_json5("scouting/multicast/enabled", "false")
try:
    opened = zenoh.open(config)
except zenoh.ZError as error:
    stop(f"cannot connect to {endpoint}: {str(error).split(' at ')[0]}")
with opened as session:
    subscriber = session.declare_subscriber(f"{base}/mask", zenoh.handlers.RingChannel(4))
    answers = [reply.ok.payload.to_string() for reply in session.get(f"{base}/classes", timeout=3) if reply.ok]
    if not answers:
        sys.exit(f"no publisher of {base} answers at {endpoint}: start one, or name its vehicle, camera and endpoint")
    names = {entry["id"]: entry["name"] for entry in json.loads(answers[0])["classes"]}
    last, times, seen = {}, [], 0  # last: the newest sequence number of each publisher session
    while seen < int(masks) or int(masks) == 0:
        sample = subscriber.recv()
        now = time.monotonic_ns()
        (magic, major, _, _, flags, origin, _, width, height, distance, length, _, _, sequence, frame, _, _, published,
         _, _, _, _, _, run, latency_us, _) = FIELDS.unpack_from(sample.attachment.to_bytes())
        if magic != b"SGFM" or major != 1 or flags & 0xF9:
            sys.exit(f"cannot read {magic} version {major} flags {flags:#x}")  # bit 0 would be LZ4
        labels = numpy.frombuffer(sample.payload.to_bytes(), numpy.uint8, length).reshape(height, width)
        missed = sequence - last.pop(run) - 1 if run in last else "new"
        last, seen, times = {**dict([*last.items()][-15:]), run: sequence}, seen + 1, (times + [now])[-31:]
        rate = (len(times) - 1) * 1e9 / max(now - times[0], 1)
        age_ms = (now - published) / 1e6 + (latency_us / 1e3 if latency_us != 0xFFFFFFFF else float("nan"))
        ids, counts = numpy.unique(labels, return_counts=True)
        shares = sorted(zip(counts / labels.size, ids), reverse=True)[:3]
        print(f"{frame} {labels.shape} distance {distance} rate {rate:.1f}/s age {age_ms:.1f} ms gap {missed}:",
              ", ".join(f"{names.get(i, 'unlabeled')} {share:.0%}" for share, i in shares), flush=True)
