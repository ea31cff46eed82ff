"""RFC 9113, sections 8 and 9: requests and answers. One test for each MUST that a server can break."""

import json

import pytest

import h2wire as h2
from gate import Gate, plain, wait_until
from h2wire import H2
from peers import ScriptedUpstream, answering, answering_once, response

PLAIN = h2.fields_of(path="/json")


@pytest.fixture(scope="module")
def odd_gate():
    """Before upstreams whose answers are not as they should be."""
    hops = response(b"x", Connection="keep-alive, X-Hop", Keep_Alive="timeout=5", X_Hop="1",
                    Proxy_Connection="keep-alive", Upgrade="h2c", X_MIXED="Case")
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    with ScriptedUpstream(answering(hops)) as a, ScriptedUpstream(answering_once(switching)) as b, \
            ScriptedUpstream(answering_once(short)) as c:
        mounts = [{"mountpoint": path, "origin": up.origin}
                  for path, up in (("/hops", a), ("/switching", b), ("/short", c))]
        with Gate(plain(mounts=mounts), count_threads="1") as running:
            yield running


@pytest.fixture
def odd(odd_gate):
    with H2.plain(odd_gate) as client:
        yield client


def seen(answer):
    """What /headers of the application has seen: a list of pairs."""
    return [tuple(pair) for pair in json.loads(answer.body)["headers"]]


# ---- 8.1 Message framing ----


def test_rfc9113_8_1_request_and_answer(c):
    answer = c.get(1, "/json")
    assert answer.status == 200 and answer.body == b'{"hello":"world"}\n'
    assert answer["content-length"] == "18"


def test_rfc9113_8_1_answer_without_a_body(c):
    for stream, status in ((1, 204), (3, 304)):
        answer = c.get(stream, "/status/%d" % status)
        assert answer.status == status and answer.frames == []


def test_rfc9113_8_1_head_has_no_body(c):
    c.request(1, "HEAD", "/bytes/1000")
    answer = c.response(1)
    assert answer["content-length"] == "1000" and answer.body == b""


def test_rfc9113_8_1_interim_answers(c):
    answer = c.get(1, "/status/103")
    assert [dict(fields)[":status"] for fields in answer.interim] == ["103"]
    assert dict(answer.interim[0])["link"] and answer.status == 200


def test_rfc9113_8_1_expectation(c):
    c.request(1, "POST", "/upload", end=False, more=[("expect", "100-continue")])
    assert c.until(h2.HEADERS, stream=1).payload == [(":status", "100")]
    c.data(1, b"abc", end=True)
    assert b'"bytes":3' in c.response(1).body


def test_rfc9113_8_1_trailers_of_a_request(c):
    c.request(1, "POST", "/upload", end=False)
    c.data(1, b"abc")
    c.headers(1, [("x-checksum", "42")])
    assert json.loads(c.response(1).body)["trailers"] == [["x-checksum", "42"]]


def test_rfc9113_8_1_trailers_of_an_answer(c):
    answer = c.get(1, "/trailers")
    assert answer.trailers == [("x-checksum", "42"), ("server-timing", "app;dur=1")]


def test_rfc9113_8_1_trailers_must_end_the_stream(c):
    c.request(1, "POST", "/upload", end=False)
    c.headers(1, [("x", "y")], end=False)
    c.expect_reset(1, h2.PROTOCOL_ERROR)
    c.expect_alive()


def test_rfc9113_8_1_early_answer(c):
    """The answer comes whole, and only then the request for the rest to be kept."""
    c.request(1, "POST", "/early", end=False)
    assert c.response(1).status == 200
    c.expect_reset(1, h2.NO_ERROR)
    c.expect_alive()


# ---- 8.1.1 Malformed messages: an error of the stream, and nothing is forwarded ----

MALFORMED = {
    "8_2_1_upper_case": [("Upper", "x")],
    "8_2_1_space_in_a_name": [("a b", "x")],
    "8_2_1_colon_in_a_name": [("a:b", "x")],
    "8_2_1_empty_name": [("", "x")],
    "8_2_1_control_in_a_name": [("a\x01", "x")],
    "8_2_1_del_in_a_name": [("a\x7f", "x")],
    "8_2_1_not_ascii_in_a_name": [("a\xe9", "x")],
    "8_2_1_newline_in_a_name": [("a\nb", "x")],
    "8_2_1_nul_in_a_value": [("x", "a\0b")],
    "8_2_1_cr_in_a_value": [("x", "a\rb")],
    "8_2_1_lf_in_a_value": [("x", "a\nb")],
    "8_2_1_value_begins_with_space": [("x", " a")],
    "8_2_1_value_ends_with_space": [("x", "a ")],
    "8_2_1_value_begins_with_tab": [("x", "\ta")],
    "8_2_1_value_ends_with_tab": [("x", "a\t")],
    "8_2_2_connection": [("connection", "close")],
    "8_2_2_connection_names_a_field": [("connection", "x"), ("x", "y")],
    "8_2_2_keep_alive": [("keep-alive", "timeout=1")],
    "8_2_2_proxy_connection": [("proxy-connection", "close")],
    "8_2_2_transfer_encoding": [("transfer-encoding", "chunked")],
    "8_2_2_upgrade": [("upgrade", "h2c")],
    "8_2_2_te": [("te", "gzip")],
    "8_2_2_te_with_more": [("te", "trailers, gzip")],
    "8_3_unknown_pseudo_field": [(":unknown", "x")],
    "8_3_status": [(":status", "200")],
    "8_3_repeated_pseudo_field": [(":path", "/json")],
    "8_3_empty_pseudo_name": [(":", "x")],
    "8_3_1_host_differs": [("host", "other")],
    "8_3_1_protocol_without_connect": [(":protocol", "websocket")],
    "8_1_1_length_without_a_body": [("content-length", "1")],
    "8_1_1_length_that_is_none": [("content-length", "x")],
    "8_1_1_length_with_a_sign": [("content-length", "+0")],
    "8_1_1_length_list": [("content-length", "0, 0")],
    "8_1_1_lengths_differ": [("content-length", "0"), ("content-length", "1")],
    "8_1_1_length_overflows": [("content-length", "18446744073709551616")],
}


@pytest.mark.parametrize("what", MALFORMED)
def test_rfc9113_malformed_field(c, unsent, what):
    fields = PLAIN + MALFORMED[what]
    if what == "8_3_repeated_pseudo_field" or what == "8_3_unknown_pseudo_field":
        fields = MALFORMED[what] + PLAIN
    c.headers(1, fields)
    c.expect_reset(1, h2.PROTOCOL_ERROR)
    c.expect_alive()


TARGETS = {
    "8_3_1_no_method": dict(method=None),
    "8_3_1_no_scheme": dict(scheme=None),
    "8_3_1_no_path": dict(path=None),
    "8_3_1_no_authority": dict(host=None),
    "8_3_1_empty_path": dict(path=""),
    "8_3_1_path_without_a_slash": dict(path="json"),
    "8_3_1_path_is_a_url": dict(path="http://localhost/json"),
    "8_3_1_asterisk": dict(path="*"),
    "8_3_1_space_in_the_path": dict(path="/a b"),
    "8_3_1_newline_in_the_path": dict(path="/a\r\nx: y"),
    "8_3_1_fragment": dict(path="/a#b"),
    "8_3_1_not_ascii_in_the_path": dict(path="/\xe9"),
    "8_3_1_space_in_the_method": dict(method="G T"),
    "8_3_1_empty_method": dict(method=""),
    "8_3_1_newline_in_the_method": dict(method="GET\r\n"),
    "8_3_1_empty_authority": dict(host=""),
    "8_3_1_userinfo": dict(host="user@localhost"),
    "8_3_1_path_in_the_authority": dict(host="localhost/x"),
    "8_3_1_space_in_the_authority": dict(host="local host"),
    "8_3_1_bad_port": dict(host="localhost:x"),
    "8_3_1_list_of_authorities": dict(host="localhost,localhost"),
    "8_3_1_empty_scheme": dict(scheme=""),
    "8_3_1_newline_in_the_scheme": dict(scheme="http\n"),
    "8_5_connect_with_a_path": dict(method="CONNECT"),
    "8_5_connect_without_an_authority": dict(method="CONNECT", path=None, scheme=None, host=None),
}


@pytest.mark.parametrize("what", TARGETS)
def test_rfc9113_malformed_target(c, unsent, what):
    c.headers(1, h2.fields_of(**{"path": "/json", **TARGETS[what]}))
    c.expect_reset(1, h2.PROTOCOL_ERROR)
    c.expect_alive()


@pytest.mark.parametrize("sent,length", [(b"abc", 2), (b"abc", 4), (b"", 1)])
def test_rfc9113_8_1_1_length_and_data_differ(c, sent, length):
    c.request(1, "POST", "/upload", end=False, more=[("content-length", str(length))])
    c.data(1, sent, end=True)
    c.expect_reset(1, h2.PROTOCOL_ERROR)
    c.expect_alive()


def test_rfc9113_8_1_1_length_of_several_frames(c):
    c.request(1, "POST", "/upload", end=False, more=[("content-length", "6")])
    c.data(1, b"abc")
    c.frame(h2.DATA, h2.PADDED, 1, b"\x02de\0\0")
    c.data(1, b"f")
    c.headers(1, [("x", "y")])
    assert b'"bytes":6' in c.response(1).body


def test_rfc9113_8_1_1_length_and_trailers_differ(c):
    c.request(1, "POST", "/upload", end=False, more=[("content-length", "6")])
    c.data(1, b"abc")
    c.headers(1, [("x", "y")])
    c.expect_reset(1, h2.PROTOCOL_ERROR)


def test_rfc9113_8_1_1_broken_upload_is_never_completed(c, demo):
    before = demo.stats()["uploads"]
    c.request(1, "POST", "/upload", end=False)
    c.data(1, b"abc")
    c.headers(1, [("UPPER", "y")])
    c.expect_reset(1, h2.PROTOCOL_ERROR)
    assert demo.stats()["uploads"] == before


# ---- 8.2 Fields ----


def test_rfc9113_8_2_order_and_duplicates(c):
    more = [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-empty", ""), ("x-tab", "a\tb")]
    fields = seen(c.get(1, "/headers", more=more))
    names = {name for name, _ in more}
    assert [pair for pair in fields if pair[0] in names] == more


def test_rfc9113_8_2_1_values_may_have_obs_text(c):
    fields = seen(c.get(1, "/headers", more=[("x-text", "caf\xe9")]))
    assert ("x-text", "caf\xe9") in fields


def test_rfc9113_8_2_2_te_trailers_is_taken_and_not_passed_on(c):
    answer = c.get(1, "/headers", more=[("te", "trailers")])
    assert "te" not in [name.lower() for name, _ in seen(answer)]


def test_rfc9113_8_2_2_answers_carry_no_connection_fields(odd):
    """h2wire itself looks at every head."""
    answer = odd.get(1, "/hops/")
    assert answer["x-mixed"] == "Case" and answer["x-hop"] is None and answer.body == b"x"


def test_rfc9113_8_2_3_cookie_crumbs_are_joined(c):
    more = [("cookie", "a=b"), ("x", "y"), ("cookie", "c=d"), ("cookie", "e=f; g=h")]
    fields = seen(c.get(1, "/headers", more=more))
    assert [value for name, value in fields if name.lower() == "cookie"] == ["a=b; c=d; e=f; g=h"]


# ---- 8.3 Control data ----


def test_rfc9113_8_3_pseudo_fields_come_first(c, unsent):
    c.headers(1, PLAIN[:3] + [("x", "y")] + PLAIN[3:])
    c.expect_reset(1, h2.PROTOCOL_ERROR)


@pytest.mark.parametrize("name", [":path", ":status", ":unknown"])
def test_rfc9113_8_3_none_in_trailers(c, name):
    c.request(1, "POST", "/upload", end=False)
    c.headers(1, [(name, "/")])
    c.expect_reset(1, h2.PROTOCOL_ERROR)


@pytest.mark.parametrize("name", [":method", ":scheme", ":authority", ":path"])
def test_rfc9113_8_3_each_once(c, unsent, name):
    c.headers(1, PLAIN + [pair for pair in PLAIN if pair[0] == name])
    c.expect_reset(1, h2.PROTOCOL_ERROR)


def test_rfc9113_8_3_1_authority_becomes_host(c):
    fields = seen(c.get(1, "/headers", host="localhost:1234"))
    assert [value for name, value in fields if name.lower() == "host"] == ["localhost:1234"]


def test_rfc9113_8_3_1_host_alone_will_do(c):
    fields = seen(c.get(1, "/headers", host=None, more=[("host", "localhost")]))
    assert [value for name, value in fields if name.lower() == "host"] == ["localhost"]


def test_rfc9113_8_3_1_host_that_agrees(c):
    fields = seen(c.get(1, "/headers", more=[("host", "LOCALHOST")]))
    assert [value for name, value in fields if name.lower() == "host"] == ["localhost"]


def test_rfc9113_8_3_1_host_twice(c, unsent):
    c.headers(1, h2.fields_of(host=None, more=[("host", "localhost"), ("host", "localhost")]))
    c.expect_reset(1, h2.PROTOCOL_ERROR)


def test_rfc9113_8_3_1_options_asterisk(c):
    c.request(1, "OPTIONS", "*")
    assert c.response(1).status in (200, 204, 404)


def test_rfc9113_8_3_1_methods_are_any_token(c):
    c.request(1, "PROPFIND", "/headers")
    assert json.loads(c.response(1).body)["method"] == "PROPFIND"


def test_rfc9113_8_3_2_status_comes_first_and_alone(c):
    answer = c.get(1, "/status/404")
    assert answer.headers[0] == (":status", "404")
    assert [name for name, _ in answer.headers if name.startswith(":")] == [":status"]


# ---- 8.5 CONNECT, 8.6 101, 8.7 reliability ----


def test_rfc9113_8_5_connect_is_refused(c, unsent):
    c.headers(1, [(":method", "CONNECT"), (":authority", "localhost:22")], end=False)
    assert c.response(1).status == 400


def test_rfc9113_8_5_only_data_in_a_tunnel(c):
    fields = h2.fields_of("CONNECT", "/ws", more=[("sec-websocket-version", "13")])
    c.headers(1, [fields[0], (":protocol", "websocket")] + fields[1:], end=False)
    assert dict(c.until(h2.HEADERS, stream=1).payload)[":status"] == "200"
    c.headers(1, [("x", "y")])
    c.expect_reset(1, h2.PROTOCOL_ERROR)
    c.expect_alive()


def test_rfc9113_8_6_no_101(odd):
    assert odd.get(1, "/switching/").status == 502


def test_rfc9113_8_7_refused_means_unprocessed(c, demo):
    limit, polls = c.settings[h2.MAX_CONCURRENT_STREAMS], 0

    def requests():
        nonlocal polls
        polls += 1      # each look is one, too
        return demo.stats()["requests"] - polls

    before = requests()
    for i in range(limit):
        c.request(2 * i + 1, path="/slow?ms=60000")
    wait_until(lambda: requests() == before + limit, "the application to have them all")
    c.request(2 * limit + 1)
    c.expect_reset(2 * limit + 1, h2.REFUSED_STREAM)
    assert requests() == before + limit


def test_rfc9113_8_1_truncated_answers_do_not_look_complete(odd):
    odd.request(1, path="/short/")
    with pytest.raises(h2.Reset) as e:
        odd.response(1)
    assert e.value.code == h2.INTERNAL_ERROR
    odd.expect_alive()


# ---- limits ----


def test_rfc9113_10_5_1_too_large_a_head_is_answered(c, unsent):
    c.headers(1, PLAIN + [("x-%d" % i, "y" * 1000) for i in range(15)], flags=0)
    for k in range(4):
        more = h2.block([("x-%d-%d" % (k, i), "y" * 1000) for i in range(15)])
        c.frame(h2.CONTINUATION, h2.END_HEADERS if k == 3 else 0, 1, more)
    assert c.response(1).status == 431
    assert c.settings[h2.MAX_HEADER_LIST_SIZE] == 65536


def test_rfc9113_10_5_1_too_many_fields_are_answered(c, unsent):
    c.headers(1, PLAIN + [("x-%d" % i, "y") for i in range(300)])
    assert c.response(1).status == 431
