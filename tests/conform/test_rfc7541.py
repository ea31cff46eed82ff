"""RFC 7541, HPACK: what a decoder must refuse, what an encoder must heed."""

import json

import pytest

import h2wire as h2
from h2wire import H2, indexed, literal, number, text

GET = b"\x82\x86" + literal(":authority", "localhost")


def ask(c, stream, lines):
    """A request with these lines in its block, besides what it needs; the fields that the application saw."""
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, GET + literal(":path", "/headers") + lines)
    return [tuple(pair) for pair in json.loads(c.response(stream).body)["headers"]]


def broken(c, payload):
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, GET + literal(":path", "/json") + payload)
    c.expect_goaway(h2.COMPRESSION_ERROR)


# ---- 2.3 indexing tables ----


def test_rfc7541_2_3_1_static_table(c):
    fields = ask(c, 1, b"\x90")                 # 16: accept-encoding: gzip, deflate
    assert ("accept-encoding", "gzip, deflate") in fields


def test_rfc7541_2_3_2_dynamic_table_is_first_in_first_out(c):
    ask(c, 1, indexed("x-a", "1") + indexed("x-b", "2") + indexed("x-c", "3"))
    fields = ask(c, 3, b"\xbe\xbf\xc0")
    assert [pair for pair in fields if pair[0] in ("x-a", "x-b", "x-c")] == \
        [("x-c", "3"), ("x-b", "2"), ("x-a", "1")]


@pytest.mark.parametrize("payload", [b"\x80", b"\xbe", b"\xff\x00", b"\xff\xff\xff\xff\x07",
                                     number(70, 6, 0x40) + text("x"), number(62, 4) + text("x"),
                                     number(62, 4, 0x10) + text("x")])
def test_rfc7541_2_3_3_index_beyond_the_tables(c, payload):
    broken(c, payload)


def test_rfc7541_3_2_blocks_may_end_anywhere_between_frames(c):
    payload = GET + literal(":path", "/headers") + indexed("x-split", "value")
    c.frame(h2.HEADERS, h2.END_STREAM, 1, payload[:-3])
    c.frame(h2.CONTINUATION, h2.END_HEADERS, 1, payload[-3:])
    assert b'["x-split","value"]' in c.response(1).body


@pytest.mark.parametrize("cut", range(1, 9))
def test_rfc7541_3_2_truncated_block(c, cut):
    broken(c, indexed("name", "value")[:-cut])


# ---- 4. dynamic table ----


def test_rfc7541_4_2_size_update_beyond_our_setting(c):
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, number(4097, 5, 0x20) + GET)
    c.expect_goaway(h2.COMPRESSION_ERROR)


def test_rfc7541_4_2_size_update_within_it(c):
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1,
            number(0, 5, 0x20) + number(4096, 5, 0x20) + GET + literal(":path", "/json"))
    assert c.response(1).status == 200


@pytest.mark.parametrize("at", ["middle", "end"])
def test_rfc7541_4_2_size_update_elsewhere(c, at):
    broken(c, number(100, 5, 0x20) + (b"\x90" if at == "middle" else b""))


def test_rfc7541_4_2_our_blocks_heed_the_clients_size(gate):
    """The smallest size in between is told, too, and the table is emptied by it."""
    with H2.plain(gate) as c:
        c.get(1)
        c.get(3)
        c.decoder.max_allowed_table_size = 4096
        c.send_settings([(h2.HEADER_TABLE_SIZE, 0), (h2.HEADER_TABLE_SIZE, 100)])
        c.expect_alive()
        c.decoder.max_allowed_table_size = 100      # more would fail to decode
        for stream in (5, 7, 9):
            assert c.get(stream).status == 200
        assert c.decoder.header_table_size <= 100


def test_rfc7541_4_2_no_table_at_all(gate):
    with H2.plain(gate, settings={h2.HEADER_TABLE_SIZE: 0}) as c:
        c.decoder.max_allowed_table_size = 0
        for stream in (1, 3, 5):
            assert c.get(stream).status == 200
        assert not c.decoder.header_table.dynamic_entries


def test_rfc7541_4_2_a_larger_table_is_not_assumed(gate):
    """A client that allows more than 4096 need not remember more than we say."""
    with H2.plain(gate, settings={h2.HEADER_TABLE_SIZE: 1 << 20}) as c:
        for stream in (1, 3, 5):
            assert c.get(stream).status == 200


def test_rfc7541_4_3_shrinking_evicts(c):
    ask(c, 1, indexed("x-a", "1"))
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3, number(0, 5, 0x20) + GET + b"\xbe")
    c.expect_goaway(h2.COMPRESSION_ERROR)


def test_rfc7541_4_4_oldest_entries_are_evicted(c):
    entry = 3 + 1000 + 32
    for i in range(4096 // entry + 1):
        ask(c, 2 * i + 1, indexed("x-%d" % i, "%04d" % i * 250))
    n = 4096 // entry
    fields = ask(c, 99, bytes(0xbe + i for i in range(n)))
    assert [value[:4] for name, value in fields if len(value) == 1000] == \
        ["%04d" % i for i in range(n, 0, -1)]
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 101, GET + bytes([0xbe + n]))
    c.expect_goaway(h2.COMPRESSION_ERROR)


def test_rfc7541_4_4_entry_larger_than_the_table_empties_it(c):
    ask(c, 1, indexed("x-a", "1"))
    fields = ask(c, 3, indexed("x-large", "y" * 5000))
    assert ("x-large", "y" * 5000) in fields
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 5, GET + b"\xbe")
    c.expect_goaway(h2.COMPRESSION_ERROR)


def test_rfc7541_4_4_name_of_an_entry_that_is_evicted(c):
    ask(c, 1, indexed("x-name", "1"))
    fields = ask(c, 3, number(62, 6, 0x40) + text("y" * 4030))
    assert ("x-name", "y" * 4030) in fields


# ---- 5. primitive types ----


@pytest.mark.parametrize("payload", [
    b"\xff" + b"\x80" * 5 + b"\x00",        # an index that goes on and on
    b"\xff" + b"\xff" * 9 + b"\x01",
    b"\xff",
    b"\x00\x7f" + b"\xff" * 9 + b"\x01",    # a length
])
def test_rfc7541_5_1_integers(c, payload):
    broken(c, payload)


def test_rfc7541_5_1_integers_may_have_leading_zeros(c):
    fields = ask(c, 1, b"\x00\x7f\x81\x00" + b"n" * 128 + text("v"))
    assert ("n" * 128, "v") in fields


@pytest.mark.parametrize("payload", [
    b"\x00\x05abc",                         # longer than the block
    b"\x00\x01n\x05v",
    b"\x00\x01n",                           # no value
    b"\x00\x01n\x81\xfe",                   # padding that is not all ones
    b"\x00\x01n\x82\x1f\xff",               # padding of a whole byte
    b"\x00\x01n\x84\xff\xff\xff\xff",       # EOS
    b"\x00\x01n\x85\x1f\xff\xff\xff\xff",
    b"\x00\x81\xff\x01v",                   # padding alone, of a byte, as a name
])
def test_rfc7541_5_2_strings(c, payload):
    broken(c, payload)


def test_rfc7541_5_2_huffman(c):
    every = "".join(map(chr, range(0x21, 0x7f)))
    fields = [("x-%d" % i, every[i:] + every[:i]) for i in range(0, len(every), 7)]
    c.headers(1, h2.fields_of(path="/headers", more=fields), raw=False)
    got = [tuple(pair) for pair in json.loads(c.response(1).body)["headers"]]
    assert [pair for pair in got if pair in fields] == fields


# ---- 6. representations, 7.1.3 ----


def test_rfc7541_6_2_2_not_indexed_is_not_kept(c):
    ask(c, 1, literal("x-a", "1"))
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3, GET + b"\xbe")
    c.expect_goaway(h2.COMPRESSION_ERROR)


def test_rfc7541_6_2_3_never_indexed_is_not_kept(c):
    fields = ask(c, 1, literal("authorization", "secret", 0x10))
    assert ("authorization", "secret") in fields
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3, GET + b"\xbe")
    c.expect_goaway(h2.COMPRESSION_ERROR)


def test_rfc7541_6_3_updates_apply_to_later_blocks(c):
    ask(c, 1, indexed("x-a", "1") + indexed("x-b", "2"))
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3,
            number(36, 5, 0x20) + GET + literal(":path", "/headers") + b"\xbe")
    assert b'["x-b","2"]' in c.response(3).body
    c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 5, GET + b"\xbf")
    c.expect_goaway(h2.COMPRESSION_ERROR)


def test_rfc7541_answers_shrink(c):
    """What repeats costs a few bytes."""
    sizes = []
    for i in range(4):
        c.request(2 * i + 1)
        frame = c.read_frame()
        while frame.type != h2.HEADERS:
            frame = c.read_frame()
        sizes.append(c.head_bytes)
        c.until(h2.DATA, stream=2 * i + 1)
    assert sizes[0] > 3 * sizes[-1] and sizes[-1] < 12, sizes
