"""RFC 9113, sections 3 to 7: frames, streams, errors. One test for each MUST that a server can break."""

import struct

import pytest

import h2wire as h2
from h2wire import H2

# ---- 3. Starting HTTP/2 ----


def test_rfc9113_3_4_servers_preface_is_settings(c):
    assert set(c.settings) <= {h2.MAX_CONCURRENT_STREAMS, h2.INITIAL_WINDOW_SIZE, h2.MAX_HEADER_LIST_SIZE,
                               h2.ENABLE_CONNECT_PROTOCOL, h2.NO_RFC7540_PRIORITIES}


def test_rfc9113_3_4_client_need_not_wait(gate):
    with H2.plain(gate, acknowledge=False) as c:
        c.request(1)
        assert c.response(1).status == 200


def test_rfc9113_3_4_settings_are_acknowledged_after_the_preface(c):
    c.expect_alive()
    assert c.acknowledged == 1


@pytest.mark.parametrize("kind", [h2.PING, h2.HEADERS, h2.DATA, h2.WINDOW_UPDATE, 0x42])
def test_rfc9113_3_4_first_frame_is_settings(gate, kind):
    with H2.plain(gate, preface=False) as c:
        c.send(h2.PREFACE)
        c.frame(kind, 0, 1 if kind in (h2.HEADERS, h2.DATA) else 0, bytes(8))
        c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_3_4_first_frame_is_no_acknowledgement(gate):
    with H2.plain(gate, preface=False) as c:
        c.send(h2.PREFACE)
        c.frame(h2.SETTINGS, h2.ACK)
        c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_3_4_preface_in_pieces(gate):
    with H2.plain(gate, preface=False) as c:
        for byte in h2.PREFACE + H2.pack(h2.SETTINGS):
            c.send(bytes([byte]))
        c.expect_alive()


# ---- 4. HTTP frames ----


def test_rfc9113_4_1_reserved_bit_is_ignored(c):
    c.headers(0x80000001, h2.fields_of(path="/json"))
    assert c.response(1).status == 200


def test_rfc9113_4_1_unknown_types_are_ignored(c):
    for kind in (0x0a, 0x0b, 0x42, 0xff):
        c.frame(kind, 0xff, 0, bytes(20))
        c.frame(kind, 0, 7, b"")
    c.expect_alive()


def test_rfc9113_4_1_unknown_flags_are_ignored(c):
    c.frame(h2.PING, 0xfe, 0, b"12345678")
    assert c.until(h2.PING).flags == h2.ACK
    c.frame(h2.SETTINGS, 0xfe)
    c.frame(h2.HEADERS, 0xc0 | h2.END_HEADERS | h2.END_STREAM, 1, h2.block(h2.fields_of()))
    assert c.response(1).status == 200


def test_rfc9113_4_2_frames_of_the_largest_size_are_taken(c):
    c.request(1, "POST", "/upload", end=False)
    c.data(1, bytes(16384), end=True)
    assert b'"bytes":16384' in c.response(1).body


@pytest.mark.parametrize("kind", [h2.DATA, h2.HEADERS, h2.SETTINGS, h2.PING, 0x42])
def test_rfc9113_4_2_frames_beyond_it_are_not(c, kind):
    c.request(1, "POST", "/upload", end=False)
    c.frame(kind, 0, 1 if kind in (h2.DATA, h2.HEADERS) else 0, b"", length=16385)
    c.expect_goaway(h2.FRAME_SIZE_ERROR)


def test_rfc9113_4_3_broken_block_is_a_compression_error(c):
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff")
    c.expect_goaway(h2.COMPRESSION_ERROR)


@pytest.mark.parametrize("stream", [1, 3, 0])
@pytest.mark.parametrize("kind", [h2.DATA, h2.HEADERS, h2.PRIORITY, h2.PING, h2.WINDOW_UPDATE, 0x42])
def test_rfc9113_4_3_blocks_are_contiguous(c, kind, stream):
    c.frame(h2.HEADERS, h2.END_STREAM, 1, b"\x82")
    c.frame(kind, 0, stream, bytes({h2.PRIORITY: 5, h2.WINDOW_UPDATE: 4}.get(kind, 8)))
    c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_4_3_blocks_of_refused_streams_are_decoded(c):
    """The dynamic table stays in step: what a refused block put there can be referred to."""
    limit = c.settings[h2.MAX_CONCURRENT_STREAMS]
    for i in range(limit):
        c.request(2 * i + 1, "POST", "/upload", end=False)
    payload = h2.block(h2.fields_of(path="/headers")) + h2.indexed("x-kept", "yes")
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 2 * limit + 1, payload)
    c.expect_reset(2 * limit + 1, h2.REFUSED_STREAM)
    c.data(1, b"", end=True)
    assert c.response(1).status == 200
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 2 * limit + 3,
            h2.block(h2.fields_of(path="/headers")) + b"\xbe")
    assert b'["x-kept","yes"]' in c.response(2 * limit + 3).body


# ---- 5.1 Stream states ----


@pytest.mark.parametrize("kind,payload", [(h2.DATA, b"x"), (h2.RST_STREAM, bytes(4)),
                                          (h2.WINDOW_UPDATE, b"\0\0\0\1")])
@pytest.mark.parametrize("stream", [1, 2, 99])
def test_rfc9113_5_1_idle(c, kind, payload, stream):
    c.frame(kind, 0, stream, payload)
    c.expect_goaway(h2.PROTOCOL_ERROR, last=0)


def test_rfc9113_5_1_idle_takes_priority(c):
    c.frame(h2.PRIORITY, 0, 9, b"\0\0\0\1\x10")
    c.expect_alive()


def test_rfc9113_5_1_half_closed_remote_data(c):
    c.request(1, path="/slow?ms=60000")
    c.data(1, b"x")
    c.expect_reset(1, h2.STREAM_CLOSED)
    c.expect_alive()


def test_rfc9113_5_1_half_closed_remote_headers(c):
    c.request(1, path="/slow?ms=60000")
    c.request(1)
    c.expect_reset(1, h2.STREAM_CLOSED)
    c.expect_alive()


def test_rfc9113_5_1_half_closed_remote_takes_the_rest(c):
    c.request(1, path="/bytes/10")
    c.frame(h2.WINDOW_UPDATE, 0, 1, b"\0\0\0\1")
    c.frame(h2.PRIORITY, 0, 1, b"\0\0\0\0\x10")
    c.frame(0x42, 0, 1, b"x")
    assert len(c.response(1).body) == 10


def test_rfc9113_5_1_closed_by_both_headers(c):
    assert c.get(1).status == 200
    c.request(1)
    c.expect_goaway(h2.STREAM_CLOSED)


def test_rfc9113_5_1_closed_by_both_data(c):
    assert c.get(1).status == 200
    c.data(1, b"x")
    c.expect_reset(1, h2.STREAM_CLOSED)
    c.expect_alive()


def test_rfc9113_5_1_closed_by_both_takes_what_crossed_its_end(c):
    assert c.get(1).status == 200
    c.frame(h2.WINDOW_UPDATE, 0, 1, b"\0\0\0\1")
    c.frame(h2.PRIORITY, 0, 1, b"\0\0\0\0\x10")
    c.reset(1)
    c.expect_alive()


def test_rfc9113_5_1_closed_by_the_client(c):
    c.request(1, "POST", "/upload", end=False)
    c.reset(1)
    c.data(1, b"x")
    c.expect_reset(1, h2.STREAM_CLOSED)
    c.expect_alive()


def test_rfc9113_5_1_closed_by_us_ignores_what_was_under_way(c):
    c.request(1, "POST", "/early", end=False)
    assert c.response(1).status == 200
    c.expect_reset(1, h2.NO_ERROR)
    c.data(1, b"x")
    c.window_update(1, 1)
    c.headers(1, [("x", "y")])
    c.reset(1)
    c.expect_alive()


def test_rfc9113_5_1_1_even_streams(c):
    c.request(2)
    c.expect_goaway(h2.PROTOCOL_ERROR, last=0)


def test_rfc9113_5_1_1_ids_rise(c):
    assert c.get(5).status == 200
    c.request(3)
    c.expect_goaway(h2.PROTOCOL_ERROR, last=5)


def test_rfc9113_5_1_1_lower_idle_streams_are_closed(c):
    assert c.get(5).status == 200
    c.data(3, b"x")
    c.expect_reset(3, h2.STREAM_CLOSED)


def test_rfc9113_5_1_2_more_streams_than_announced(c):
    limit = c.settings[h2.MAX_CONCURRENT_STREAMS]
    for i in range(limit + 1):
        c.request(2 * i + 1, "POST", "/upload", end=False)
    c.expect_reset(2 * limit + 1, h2.REFUSED_STREAM)
    for i in range(limit):
        c.data(2 * i + 1, b"x", end=True)
    for i in range(limit):
        assert c.response(2 * i + 1).status == 200


# ---- 5.4 Errors, 5.5 extensions ----


def test_rfc9113_5_4_1_goaway_names_the_last_stream(c):
    assert c.get(1).status == 200
    assert c.get(7).status == 200
    c.frame(h2.PING, 0, 1, bytes(8))
    c.expect_goaway(h2.PROTOCOL_ERROR, last=7)


def test_rfc9113_5_4_2_reset_is_not_answered(c):
    c.request(1, path="/slow?ms=60000")
    c.reset(1, h2.PROTOCOL_ERROR)
    c.expect_alive()


def test_rfc9113_5_4_2_error_of_a_stream_leaves_the_others(c):
    c.request(1, "POST", "/upload", end=False)
    c.headers(3, h2.fields_of() + [("UPPER", "x")])
    c.expect_reset(3, h2.PROTOCOL_ERROR)
    c.data(1, b"abc", end=True)
    assert b'"bytes":3' in c.response(1).body


def test_rfc9113_5_5_unknown_settings_are_ignored(c):
    c.send_settings([(0xaaaa, 1), (0x7, 0xffffffff), (0xffff, 0)])
    c.expect_alive()
    assert c.acknowledged == 2


# ---- 6.1 DATA ----


def test_rfc9113_6_1_data_on_stream_0(c):
    c.data(0, b"x")
    c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_6_1_padding(c):
    c.request(1, "POST", "/upload", end=False)
    c.frame(h2.DATA, h2.PADDED, 1, b"\x03abc\0\0\0")
    c.frame(h2.DATA, h2.PADDED, 1, b"\x00def")
    c.frame(h2.DATA, h2.PADDED | h2.END_STREAM, 1, b"\xff" + bytes(255))
    assert b'"bytes":6' in c.response(1).body


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x04abc", b"\xff"])
def test_rfc9113_6_1_padding_longer_than_its_frame(c, payload):
    c.request(1, "POST", "/upload", end=False)
    c.frame(h2.DATA, h2.PADDED, 1, payload)
    c.expect_goaway(h2.PROTOCOL_ERROR)


# ---- 6.2 HEADERS ----


def test_rfc9113_6_2_headers_on_stream_0(c):
    c.request(0)
    c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_6_2_padding_and_priority(c):
    payload = h2.block(h2.fields_of(path="/json"))
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM | h2.PADDED | h2.PRIORITY_FLAG, 3,
            b"\x05" + b"\0\0\0\1\xff" + payload + bytes(5))
    assert c.response(3).status == 200


@pytest.mark.parametrize("flags,payload", [
    (h2.PADDED, b""), (h2.PADDED, b"\x01"), (h2.PADDED, b"\x02\x82"), (h2.PRIORITY_FLAG, b"\0\0\0\0"),
    (h2.PADDED | h2.PRIORITY_FLAG, b"\x01\0\0\0\0\0"),
])
def test_rfc9113_6_2_headers_shorter_than_their_parts(c, flags, payload):
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM | flags, 1, payload)
    c.expect_goaway(h2.PROTOCOL_ERROR, h2.FRAME_SIZE_ERROR)


# ---- 6.3 PRIORITY ----


def test_rfc9113_6_3_priority_on_stream_0(c):
    c.frame(h2.PRIORITY, 0, 0, bytes(5))
    c.expect_goaway(h2.PROTOCOL_ERROR)


@pytest.mark.parametrize("n", [0, 4, 6])
def test_rfc9113_6_3_priority_of_wrong_size(c, n):
    c.request(1, "POST", "/upload", end=False)
    c.frame(h2.PRIORITY, 0, 1, bytes(n))
    c.expect_reset(1, h2.FRAME_SIZE_ERROR)
    c.expect_alive()


# ---- 6.4 RST_STREAM ----


def test_rfc9113_6_4_reset_of_stream_0(c):
    c.reset(0)
    c.expect_goaway(h2.PROTOCOL_ERROR)


@pytest.mark.parametrize("n", [0, 3, 5])
def test_rfc9113_6_4_reset_of_wrong_size(c, n):
    c.request(1, "POST", "/upload", end=False)
    c.frame(h2.RST_STREAM, 0, 1, bytes(n))
    c.expect_goaway(h2.FRAME_SIZE_ERROR)


# ---- 6.5 SETTINGS ----


def test_rfc9113_6_5_settings_on_a_stream(c):
    c.frame(h2.SETTINGS, 0, 1)
    c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_6_5_acknowledgement_with_a_payload(c):
    c.frame(h2.SETTINGS, h2.ACK, 0, bytes(6))
    c.expect_goaway(h2.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("n", [1, 5, 7])
def test_rfc9113_6_5_settings_of_wrong_size(c, n):
    c.frame(h2.SETTINGS, 0, 0, bytes(n))
    c.expect_goaway(h2.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("key,value,code", [
    (h2.ENABLE_PUSH, 2, h2.PROTOCOL_ERROR),
    (h2.INITIAL_WINDOW_SIZE, 0x80000000, h2.FLOW_CONTROL_ERROR),
    (h2.MAX_FRAME_SIZE, 16383, h2.PROTOCOL_ERROR),
    (h2.MAX_FRAME_SIZE, 0, h2.PROTOCOL_ERROR),
    (h2.MAX_FRAME_SIZE, 16777216, h2.PROTOCOL_ERROR),
    (h2.ENABLE_CONNECT_PROTOCOL, 2, h2.PROTOCOL_ERROR),
])
def test_rfc9113_6_5_2_values_out_of_range(c, key, value, code):
    c.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", key, value))
    c.expect_goaway(code)


@pytest.mark.parametrize("key,value", [
    (h2.ENABLE_PUSH, 0), (h2.ENABLE_PUSH, 1), (h2.INITIAL_WINDOW_SIZE, 0x7fffffff),
    (h2.MAX_FRAME_SIZE, 16777215), (h2.HEADER_TABLE_SIZE, 0xffffffff), (h2.MAX_CONCURRENT_STREAMS, 0),
    (h2.MAX_HEADER_LIST_SIZE, 0), (h2.NO_RFC7540_PRIORITIES, 1),
])
def test_rfc9113_6_5_2_values_at_the_edge(c, key, value):
    c.send_settings([(key, value)])
    assert c.get(1).status == 200
    assert c.acknowledged == 2


def test_rfc9113_6_5_2_server_does_not_push(c):
    assert c.settings.get(h2.ENABLE_PUSH, 0) == 0


def test_rfc9113_6_5_2_frames_are_never_larger_than_allowed(c):
    c.send_settings([(h2.MAX_FRAME_SIZE, 16384)])
    answer = c.get(1, "/bytes/200000")
    assert len(answer.body) == 200000 and max(answer.frames) <= 16384


def test_rfc9113_6_5_3_values_are_taken_in_order(c):
    c.send_settings([(h2.INITIAL_WINDOW_SIZE, 1), (h2.INITIAL_WINDOW_SIZE, 0),
                     (h2.INITIAL_WINDOW_SIZE, 7)])
    c.request(1, path="/bytes/100")
    assert len(c.until(h2.DATA, stream=1).payload) == 7


def test_rfc9113_6_5_3_each_is_acknowledged(c):
    for _ in range(5):
        c.send_settings()
    c.expect_alive()
    assert c.acknowledged == 6


# ---- 6.6 PUSH_PROMISE ----


def test_rfc9113_6_6_push_promise_from_a_client(c):
    c.request(1, "POST", "/upload", end=False)
    c.frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, b"\0\0\0\2" + h2.block(h2.fields_of()))
    c.expect_goaway(h2.PROTOCOL_ERROR)


# ---- 6.7 PING ----


def test_rfc9113_6_7_ping_is_answered_in_kind(c):
    c.ping(b"\0\1\2\3\xff\xfe\xfd\xfc")
    frame = c.until(h2.PING)
    assert frame.flags == h2.ACK and frame.payload == b"\0\1\2\3\xff\xfe\xfd\xfc"


def test_rfc9113_6_7_an_answer_is_not_answered(c):
    c.frame(h2.PING, h2.ACK, 0, b"whatever")
    c.expect_alive()


def test_rfc9113_6_7_ping_on_a_stream(c):
    c.frame(h2.PING, 0, 1, bytes(8))
    c.expect_goaway(h2.PROTOCOL_ERROR)


@pytest.mark.parametrize("n", [0, 7, 9])
def test_rfc9113_6_7_ping_of_wrong_size(c, n):
    c.frame(h2.PING, 0, 0, bytes(n))
    c.expect_goaway(h2.FRAME_SIZE_ERROR)


# ---- 6.8 GOAWAY ----


def test_rfc9113_6_8_goaway_on_a_stream(c):
    c.frame(h2.GOAWAY, 0, 1, bytes(8))
    c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_6_8_goaway_lets_streams_finish(c):
    c.request(1, "POST", "/upload", end=False)
    c.frame(h2.GOAWAY, 0, 0, bytes(8) + b"bye")
    c.data(1, b"abc", end=True)
    assert b'"bytes":3' in c.response(1).body


def test_rfc9113_6_8_goaway_too_short(c):
    c.frame(h2.GOAWAY, 0, 0, bytes(7))
    c.expect_goaway(h2.FRAME_SIZE_ERROR)


# ---- 6.9 WINDOW_UPDATE ----


def test_rfc9113_6_9_increment_0_on_a_stream(c):
    c.request(1, path="/slow?ms=60000")
    c.frame(h2.WINDOW_UPDATE, 0, 1, bytes(4))
    c.expect_reset(1, h2.PROTOCOL_ERROR)
    c.expect_alive()


def test_rfc9113_6_9_increment_0_on_the_connection(c):
    c.frame(h2.WINDOW_UPDATE, 0, 0, bytes(4))
    c.expect_goaway(h2.PROTOCOL_ERROR)


@pytest.mark.parametrize("n", [0, 3, 5])
def test_rfc9113_6_9_window_update_of_wrong_size(c, n):
    c.frame(h2.WINDOW_UPDATE, 0, 0, bytes(n))
    c.expect_goaway(h2.FRAME_SIZE_ERROR)


def test_rfc9113_6_9_1_reserved_bit_is_ignored(c):
    c.request(1, path="/bytes/10")
    c.frame(h2.WINDOW_UPDATE, 0, 1, b"\x80\0\0\1")
    assert len(c.response(1).body) == 10


def test_rfc9113_6_9_1_stream_window_overflows(c):
    c.request(1, path="/slow?ms=60000")
    c.frame(h2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 0x7fffffff))
    c.expect_reset(1, h2.FLOW_CONTROL_ERROR)
    c.expect_alive()


def test_rfc9113_6_9_1_connection_window_overflows(c):
    c.frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff))
    c.expect_goaway(h2.FLOW_CONTROL_ERROR)


def test_rfc9113_6_9_1_stream_window_is_kept(gate):
    with H2.plain(gate, settings={h2.INITIAL_WINDOW_SIZE: 100}) as c:
        c.request(1, path="/bytes/1000")
        assert len(c.until(h2.DATA, stream=1).payload) == 100
        c.expect_alive()
        assert not [f for f in c.kept if f.type == h2.DATA]
        c.window_update(1, 900)
        assert len(c.response(1).body) == 900


def test_rfc9113_6_9_1_connection_window_is_kept(c):
    c.send_settings({h2.INITIAL_WINDOW_SIZE: 1 << 20})
    c.request(1, path="/bytes/100000")
    got = 0
    while got < 65535:
        got += len(c.until(h2.DATA, stream=1).payload)
    assert got == 65535
    c.expect_alive()
    assert not [f for f in c.kept if f.type == h2.DATA]
    c.window_update(0, 100000)
    assert len(c.response(1).body) == 100000 - 65535


def test_rfc9113_6_9_1_empty_frames_need_no_window(gate):
    with H2.plain(gate, settings={h2.INITIAL_WINDOW_SIZE: 0}) as c:
        c.request(1, path="/chunked/0")
        answer = c.response(1)
        assert answer.status == 200 and answer.body == b""


def test_rfc9113_6_9_1_uploads_beyond_the_stream_window(c):
    """More than was granted, and the application does not answer: the window is not given back."""
    c.request(1, "POST", "/slow?ms=60000", end=False)
    size = c.settings[h2.INITIAL_WINDOW_SIZE]
    for _ in range(0, size * 64, 16384):
        try:
            c.data(1, bytes(16384))
        except (ConnectionError, TimeoutError):
            break
    frame = c.until(h2.RST_STREAM, h2.GOAWAY)
    code = struct.unpack(">I", frame.payload[-4:] if frame.type == h2.RST_STREAM else frame.payload[4:8])[0]
    assert code == h2.FLOW_CONTROL_ERROR


def test_rfc9113_6_9_2_initial_window_changes_live_streams(gate):
    with H2.plain(gate, settings={h2.INITIAL_WINDOW_SIZE: 0}) as c:
        c.request(1, path="/bytes/1000")
        c.until(h2.HEADERS, stream=1)
        c.send_settings({h2.INITIAL_WINDOW_SIZE: 3})
        assert len(c.until(h2.DATA, stream=1).payload) == 3


def test_rfc9113_6_9_2_windows_may_become_negative(gate):
    with H2.plain(gate, settings={h2.INITIAL_WINDOW_SIZE: 3}) as c:
        c.request(1, path="/bytes/1000")
        assert len(c.until(h2.DATA, stream=1).payload) == 3
        c.send_settings({h2.INITIAL_WINDOW_SIZE: 2})
        c.window_update(1, 2)       # from -1 to 1
        assert len(c.until(h2.DATA, stream=1).payload) == 1


def test_rfc9113_6_9_2_initial_window_overflows_a_stream(c):
    c.request(1, path="/slow?ms=60000")
    c.window_update(1, 0x7fffffff - 65535)
    c.send_settings({h2.INITIAL_WINDOW_SIZE: 65536})
    c.expect_goaway(h2.FLOW_CONTROL_ERROR)


# ---- 6.10 CONTINUATION ----


def test_rfc9113_6_10_continuation(c):
    payload = h2.block(h2.fields_of(path="/headers", more=[("x-long", "y" * 20000)]))
    c.frame(h2.HEADERS, h2.END_STREAM, 1, payload[:7])
    c.frame(h2.CONTINUATION, 0, 1, payload[7:16000])
    c.frame(h2.CONTINUATION, 0, 1, b"")
    c.frame(h2.CONTINUATION, h2.END_HEADERS, 1, payload[16000:])
    assert b"y" * 20000 in c.response(1).body


@pytest.mark.parametrize("stream", [0, 1, 3])
def test_rfc9113_6_10_continuation_without_headers(c, stream):
    c.frame(h2.CONTINUATION, h2.END_HEADERS, stream, b"\x82")
    c.expect_goaway(h2.PROTOCOL_ERROR)


def test_rfc9113_6_10_continuation_after_the_end(c):
    c.request(1, path="/slow?ms=60000")
    c.frame(h2.CONTINUATION, h2.END_HEADERS, 1, b"\x82")
    c.expect_goaway(h2.PROTOCOL_ERROR)


@pytest.mark.parametrize("stream", [0, 3])
def test_rfc9113_6_10_continuation_of_another_stream(c, stream):
    c.frame(h2.HEADERS, h2.END_STREAM, 1, b"\x82")
    c.frame(h2.CONTINUATION, h2.END_HEADERS, stream, b"\x84")
    c.expect_goaway(h2.PROTOCOL_ERROR)


# ---- PRIORITY_UPDATE (RFC 9218 section 7.1) ----


def test_rfc9218_2_1_old_priorities_are_not_used(c):
    assert c.settings[h2.NO_RFC7540_PRIORITIES] == 1


def priority(on, weight, exclusive=False):
    """The old priority of a stream: what it depends on, and its weight less one (RFC 7540 section 6.3)."""
    return struct.pack(">IB", on | exclusive << 31, weight)


def test_rfc9218_2_1_old_trees_do_no_harm(gate):
    """As Firefox begins: groups of the old tree on idle streams, then requests that depend on these. They are
    moved while they are open, and afterwards."""
    with H2.plain(gate, settings={h2.HEADER_TABLE_SIZE: 65536, h2.INITIAL_WINDOW_SIZE: 131072,
                                  h2.MAX_FRAME_SIZE: 16384}) as c:
        c.window_update(0, 12517377)
        groups = {3: (0, 200), 5: (0, 100), 7: (0, 0), 9: (7, 0), 11: (3, 0), 13: (0, 240)}
        for stream, (on, weight) in groups.items():
            c.frame(h2.PRIORITY, 0, stream, priority(on, weight))
        streams = range(15, 15 + 2 * 60, 2)
        for stream in streams:
            fields = h2.fields_of(path="/bytes/%d" % (stream * 500),
                                  more=[("priority", "u=%d" % (stream % 8))])
            c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM | h2.PRIORITY_FLAG, stream,
                    priority((3, 5, 7, 9, 11, 13)[stream % 6], 41) + h2.block(fields))
            c.frame(h2.PRIORITY, 0, stream, priority(3, 21, exclusive=True))
        for stream in streams:
            answer = c.response(stream)
            assert answer.status == 200 and len(answer.body) == stream * 500
            c.frame(h2.PRIORITY, 0, stream, priority(11, 1))
        for stream in groups:   # as idle ones once
            c.frame(h2.PRIORITY, 0, stream, priority(0, 3))
        c.expect_alive()


def test_rfc9218_7_1_before_within_and_after(c):
    c.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=0")
    c.request(1, path="/slow?ms=1", more=[("priority", "u=5, i")])
    c.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=7, i, x=(a b)")
    assert c.response(1).status == 200
    c.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\1")
    c.expect_alive()


@pytest.mark.parametrize("stream,payload,code", [
    (1, b"\0\0\0\1u=0", h2.PROTOCOL_ERROR), (0, b"\0\0\0\0u=0", h2.PROTOCOL_ERROR),
    (0, b"\0\0\0\2u=0", h2.PROTOCOL_ERROR), (0, b"\0\0\0", h2.FRAME_SIZE_ERROR),
])
def test_rfc9218_7_1_errors(c, stream, payload, code):
    c.frame(h2.PRIORITY_UPDATE, 0, stream, payload)
    c.expect_goaway(code)


# ---- 7. Error codes ----


def test_rfc9113_7_unknown_codes_are_nothing_special(c):
    c.request(1, path="/slow?ms=60000")
    c.reset(1, 0xfefefefe)
    c.frame(h2.GOAWAY, 0, 0, struct.pack(">II", 0, 0xfefefefe))
    c.expect_alive()
    assert c.get(3).status == 200
