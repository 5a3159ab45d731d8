"""Prints what a trip holds, read with Foxglove's Python packages: one line a message, grouped by kind."""
import sys

from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory


def weighed(data):
    return sum(place * byte for place, byte in enumerate(data, 1))


def describe(channel, message, decoded):
    topic, number = channel.topic, message.sequence
    if topic == "/vehicle/can":
        assert decoded.clock == 1, "Unix time"
        taken, payload = decoded.taken_ns, weighed(decoded.payload)
        return f"can {message.log_time} {decoded.bus} {decoded.id} {taken} {payload}"
    if topic == "/vehicle/state":
        assert not decoded.HasField("yaw_rate_radps")
        return f"state {decoded.taken_ns} {decoded.speed_mps.value!r}"
    if topic == "/camera/image":
        stamp = decoded.timestamp.seconds * 1_000_000_000 + decoded.timestamp.nanos
        assert stamp == message.publish_time
        layout = getattr(decoded, "encoding", None) or decoded.format
        return f"frame {number} {stamp} {layout} {weighed(decoded.data)}"
    if topic == "/perception/info":
        return f"info {decoded.frame} {decoded.distance} {decoded.mask_hash:016x}"
    if topic == "/perception/mask":
        assert (decoded.encoding, channel.metadata["classes"]) == ("mono8", "cityscapes")
        return f"mask {number} {message.publish_time} {weighed(decoded.data)}"
    if topic == "/camera/truth":
        assert channel.metadata["classes"] == "camvid"
    return None


def main(path):
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        about = next(record for record in reader.iter_metadata() if record.name == "segfuse").metadata
        tables = ",".join(key.split(".")[1] for key in sorted(about) if key.startswith("class_table."))
        lines = [f"metadata format_version={about['format_version']} classes={tables} dbc={about['dbc_name']}"]
        for _schema, channel, message, decoded in reader.iter_decoded_messages(log_time_order=True):
            lines.append(describe(channel, message, decoded))
    kinds = ["metadata", "can", "state", "frame", "info", "mask"]
    lines = sorted((line for line in lines if line), key=lambda line: kinds.index(line.split()[0]))
    print("\n".join(lines))


main(sys.argv[1])
