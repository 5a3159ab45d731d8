"""Prints rate, age, gaps and class shares of a camera's masks. Needs: pip install eclipse-zenoh numpy

    python examples/subscribe.py [vehicle] [camera] [endpoint] [masks]    (docs/wire-format.md has the format)
"""
import json, signal, struct, sys, time
import numpy, zenoh

signal.signal(signal.SIGINT, lambda *_: (print("interrupted", file=sys.stderr, flush=True), sys.exit(130)))
vehicle, camera, endpoint, masks = (sys.argv[1:] + ["vehicle", "front", "tcp/127.0.0.1:7447", "0"][len(sys.argv) - 1:])[:4]
if len(sys.argv) > 5 or not masks.isdecimal() or "/" not in endpoint:
    sys.exit(print(__doc__, f"'{endpoint}': write protocol/address; '{masks}': write a number", file=sys.stderr) or 2)
base, config = f"segfuse/{vehicle}/{camera}", zenoh.Config()
HEADER = struct.Struct("<4sB3xH2xHHII8xQQ16xQ40xII4x")  # without what is not used here
try:
    for key, value in (("connect/endpoints", [endpoint]), ("listen/endpoints", []), ("scouting/multicast/enabled", False)):
        config.insert_json5(key, json.dumps(value))
    opened = zenoh.open(config)
except zenoh.ZError as error:
    sys.exit(f"cannot connect to {endpoint}: {str(error).split(' at ')[0]}")
with opened as session:
    subscriber = session.declare_subscriber(f"{base}/mask", zenoh.handlers.RingChannel(4))
    answers = [reply.ok.payload.to_string() for reply in session.get(f"{base}/classes", timeout=3) if reply.ok]
    if not answers:
        sys.exit(f"no publisher of {base} answers at {endpoint}: start one, or name its vehicle, camera and endpoint")
    names = {entry["id"]: entry["name"] for entry in json.loads(answers[0])["classes"]}
    last, times = {}, []  # the newest sequence number of each publisher session; when the newest masks came
    for _ in iter(int, 1) if int(masks) == 0 else range(int(masks)):
        sample, now = subscriber.recv(), time.monotonic_ns()
        header = sample.attachment.to_bytes()
        magic, major, flags, cols, rows, distance, size, sequence, frame, published, run, late_us = HEADER.unpack_from(header)
        if magic != b"SGFM" or major != 1 or flags & 0xF9:  # bit 0 would be LZ4
            sys.exit(f"cannot read {magic} version {major} flags {flags:#x}")
        labels = numpy.frombuffer(sample.payload.to_bytes(), numpy.uint8, size).reshape(rows, cols)
        missed, times = sequence - last.pop(run) - 1 if run in last else "new", (times + [now])[-31:]
        last = {**dict([*last.items()][-15:]), run: sequence}
        rate_hz = (len(times) - 1) * 1e9 / max(now - times[0], 1)
        age_ms = (now - published) / 1e6 + (late_us / 1e3 if late_us != 0xFFFFFFFF else float("nan"))
        shares = sorted(zip(*numpy.unique(labels, return_counts=True)), key=lambda share: -share[1])[:3]
        print(f"{frame} {labels.shape} distance {distance} rate {rate_hz:.1f}/s age {age_ms:.1f} ms gap {missed}:",
              ", ".join(f"{names.get(i, 'unlabeled')} {count / labels.size:.0%}" for i, count in shares), flush=True)
