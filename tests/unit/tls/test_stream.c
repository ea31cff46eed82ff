/* TLS as a stream: bytes both ways, records and system calls, slow readers, ends, keys, and what is held. */
#include "tests/unit/tls/rig.h"
#include <malloc.h>

static struct rig_cert cert;
static struct tls_listener *listener;
static SSL_CTX *ctx12, *ctx13;

static const struct tls_conn *conn(const struct rig *r)
{
	return r->s->impl;
}

static void open_with(struct rig *r, SSL_CTX *ctx)
{
	rig_open(r, listener, ctx, NULL, NULL);
	rig_connect(r);
}

/* As long after the beginning that records are large. */
static void open_warm(struct rig *r, SSL_CTX *ctx)
{
	open_with(r, ctx);
	rig_send(r, 64 * 1024);
	rig_until(r, r->client.read == 64 * 1024);
}

static void set_sndbuf(int fd, int bytes)
{
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

/* ---- bytes ---- */

static void ten_mebibytes_both_ways(void **state)
{
	enum { N = 10 * 1024 * 1024 };
	SSL_CTX *all[] = { ctx12, ctx13 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct rig r;

		open_with(&r, all[i]);
		r.client.to_write = N;
		r.client.closes = r.server_side.closes = true;
		rig_send(&r, N);
		rig_until(&r, r.client.end && r.server_side.end);
		assert_int_equal(r.client.read, N);
		assert_int_equal(r.server_side.read, N);
		assert_false(tls_stream_truncated(r.s));
		rig_close(&r);
	}
}

/* Calls of any size, buffers of any size: each combination moves its bytes unchanged. */
static void odd_sizes(void **state)
{
	static const struct {
		size_t server_read, server_write, client_write;
		int sndbuf;
		uint64_t n;
	} rows[] = {
		{ 1, 1, 1, 0, 3000 },
		{ 7, 4096, 16384, 0, 200 * 1024 },
		{ 1000, 100000, 100, 0, 200 * 1024 },
		{ 4097, 16383, 16384, 1, 300 * 1024 },
		{ 64 * 1024, 65536 + 300, 5000, 1, 1024 * 1024 },
		{ 16384, 190 * 1024, 1369, 20000, 1024 * 1024 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig r;

		open_with(&r, i % 2 ? ctx12 : ctx13);
		if (rows[i].sndbuf) {
			set_sndbuf(r.s->ev.fd, rows[i].sndbuf);
			set_sndbuf(r.fd, rows[i].sndbuf);
		}
		r.server.read_max = rows[i].server_read;
		r.server_side.write_max = rows[i].server_write;
		r.client.write_max = rows[i].client_write;
		r.client.to_write = rows[i].n;
		rig_send(&r, rows[i].n);
		rig_until(&r, r.client.read == rows[i].n && r.server_side.read == rows[i].n);
		rig_close(&r);
	}
}

/* ---- records and system calls ---- */

static void a_small_answer_is_one_record_and_one_send(void **state)
{
	struct tls_stats before;
	char head[300], body[1024];
	struct iovec v[] = { { head, sizeof head }, { body, sizeof body } };
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	for (size_t i = 0; i < sizeof head; i++)
		head[i] = rig_pattern(i);
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = rig_pattern(sizeof head + i);
	before = *tls_stats();
	assert_int_equal(stream_writev(r.s, v, 2), sizeof head + sizeof body);
	assert_int_equal(tls_stats()->records - before.records, 1);
	assert_int_equal(tls_stats()->sends - before.sends, 1);
	rig_until(&r, r.client.read == sizeof head + sizeof body);
	rig_close(&r);
}

static void bulk_is_full_records_and_few_sends(void **state)
{
	struct tls_stats before;
	struct iovec v[12];
	struct rig r;

	(void)state;
	open_warm(&r, ctx13);
	before = *tls_stats();
	assert_int_equal(stream_writev(r.s, v, rig_pieces(65536, 65536, v, 12)), 65536);
	assert_int_equal(tls_stats()->records - before.records, 4);
	assert_int_equal(tls_stats()->sends - before.sends, 1);
	/* a head before four full slabs still leaves as a whole, and more than that does not */
	rig_until(&r, r.client.read == 2 * 65536);
	assert_int_equal(stream_writev(r.s, v, rig_pieces(2 * 65536, 65536 + 300, v, 12)), 65536 + 300);
	assert_int_equal(tls_stats()->records - before.records, 4 + 5);
	rig_until(&r, r.client.read == 3 * 65536 + 300);
	assert_int_equal(stream_writev(r.s, v, rig_pieces(3 * 65536 + 300, 128 * 1024, v, 12)), 65536);
	assert_int_equal(tls_stats()->records - before.records, 4 + 5 + 4);
	assert_int_equal(tls_stats()->sends - before.sends, 3);
	rig_until(&r, r.client.read == 4 * 65536 + 300);
	rig_close(&r);
}

static void a_burst_begins_with_small_records(void **state)
{
	struct tls_stats before;
	struct iovec v[12];
	unsigned char header[5];
	struct rig r;
	uint64_t at = 0;

	(void)state;
	open_with(&r, ctx12); /* without a ticket in front */
	for (int i = 0; i < 2; i++) {
		before = *tls_stats();
		assert_int_equal(stream_writev(r.s, v, rig_pieces(at, 65536, v, 12)), 65536);
		/* 12 of 1369 bytes are 16 KiB; then full ones */
		assert_int_equal(tls_stats()->records - before.records, 12 + 3);
		assert_int_equal(tls_stats()->sends - before.sends, 1);
		assert_int_equal(recv(r.fd, header, sizeof header, MSG_PEEK), sizeof header);
		assert_int_equal(header[3] << 8 | header[4], 1369 + 8 + 16);
		at += 65536;
		rig_until(&r, r.client.read == at);
		before = *tls_stats();
		assert_int_equal(stream_writev(r.s, v, rig_pieces(at, 65536, v, 12)), 65536);
		assert_int_equal(tls_stats()->records - before.records, 4);
		at += 65536;
		rig_until(&r, r.client.read == at);
		/* an idle second, without waiting for it */
		((struct tls_conn *)r.s->impl)->written_ms -= TLS_IDLE_MS + 1;
	}
	rig_close(&r);
}

static void one_read_feeds_many_records(void **state)
{
	struct tls_stats before;
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	r.client_idle = true;
	for (size_t i = 0; i < 64; i++) { /* 64 records of 512 bytes */
		size_t n;

		for (size_t k = 0; k < 512; k++)
			rig_out[k] = rig_pattern(i * 512 + k);
		assert_true(SSL_write_ex(r.ssl, rig_out, 512, &n));
	}
	before = *tls_stats();
	rig_until(&r, r.server_side.read == 64 * 512);
	assert_int_equal(tls_stats()->recvs - before.recvs, 1);
	assert_int_equal(r.server.reads, 1);
	rig_close(&r);
}

/* An owner with little room: what was read and does not fit is kept, and comes before anything new. */
static void what_does_not_fit_is_kept(void **state)
{
	struct tls_stats before;
	char in[100];
	struct rig r;
	size_t got = 0;

	(void)state;
	open_with(&r, ctx13);
	stream_want(r.s, 0);
	r.client_idle = true;
	for (size_t i = 0; i < 20; i++) { /* 20 records of 400 bytes */
		size_t n;

		for (size_t k = 0; k < 400; k++)
			rig_out[k] = rig_pattern(i * 400 + k);
		assert_true(SSL_write_ex(r.ssl, rig_out, 400, &n));
	}
	rig_until(&r, r.s->can & STREAM_IN);
	before = *tls_stats();
	while (got < 20 * 400) {
		assert_true(r.s->can & STREAM_IN);
		assert_int_equal(stream_read(r.s, in, sizeof in), sizeof in);
		for (size_t i = 0; i < sizeof in; i++)
			assert_int_equal(in[i], rig_pattern(got + i));
		got += sizeof in;
		assert_true(buf_len(&conn(&r)->in) <= TLS_RECV_MIN_BYTES);
		assert_true(slab_count() <= 1);
	}
	assert_true(tls_stats()->recvs - before.recvs <= 3);
	assert_int_equal(slab_count(), 0);
	assert_int_equal(stream_read(r.s, in, sizeof in), -ERR_AGAIN);
	assert_false(r.s->can & STREAM_IN);
	rig_close(&r);
}

/* ---- slow readers ---- */

static void a_slow_reader_holds_little(void **state)
{
	enum { N = 24 * 1024 * 1024 };
	struct rig r;

	(void)state;
	for (int tcp = 0; tcp < 2; tcp++) {
		rig_tcp = tcp;
		open_warm(&r, ctx13);
		rig_send(&r, N);
		r.client_idle = true;
		rig_until(&r, stream_unsent(r.s) > 0);
		assert_false(r.s->can & STREAM_OUT);
		r.client_idle = false;
		r.client_read_max = 5000;
		rig_until(&r, r.client.read > 2 * 1024 * 1024);
		/* never more than a slab, when it stalled and while it crawls */
		assert_true(r.server.most_unsent <= SLAB_BYTES);
		assert_int_equal(slab_peak(), 1);
		/* and at full speed again when the client is */
		r.client_read_max = 0;
		rig_until(&r, r.client.read == 64 * 1024 + N);
		rig_until(&r, stream_unsent(r.s) == 0);
		assert_int_equal(slab_count(), 0);
		rig_close(&r);
	}
}

/* Reading goes on while what was written does not get away. */
static void a_full_output_stops_no_input(void **state)
{
	struct rig r;

	(void)state;
	open_warm(&r, ctx13);
	r.client_read_max = 1;
	r.client.to_write = 1024 * 1024;
	rig_send(&r, 4 * 1024 * 1024);
	rig_until(&r, r.server_side.read == 1024 * 1024);
	assert_true(r.client.read < 4 * 1024 * 1024);
	rig_close(&r);
}

/* ---- ends ---- */

static void our_half_ends_first(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	set_sndbuf(r.s->ev.fd, 1); /* so that the end has to wait behind bytes */
	r.client_idle = true;
	r.server_side.closes = true;
	rig_send(&r, 100 * 1024);
	rig_until(&r, stream_unsent(r.s) > 0);
	r.client_idle = false;
	rig_until(&r, r.client.end);
	assert_int_equal(r.client.read, 100 * 1024);
	assert_false(r.client_failed);
	assert_false(r.s->can & STREAM_OUT);
	assert_int_equal(stream_write(r.s, "x", 1), -ERR_IO);
	/* the other half is as it was */
	r.client.to_write = 100 * 1024;
	r.client.closes = true;
	rig_until(&r, r.server_side.end);
	assert_int_equal(r.server_side.read, 100 * 1024);
	assert_true(stream_is_hup(r.s));
	assert_false(tls_stream_truncated(r.s));
	rig_close(&r);
}

static void their_half_ends_first(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	r.client.to_write = 1000;
	r.client.closes = true;
	rig_until(&r, r.server_side.end);
	assert_int_equal(r.server_side.read, 1000);
	assert_true(stream_is_hup(r.s));
	assert_false(r.s->can & STREAM_BROKEN);
	r.server_side.closes = true;
	rig_send(&r, 1024 * 1024);
	rig_until(&r, r.client.end);
	assert_int_equal(r.client.read, 1024 * 1024);
	rig_close(&r);
}

/* A socket that ends without close_notify: the end all the same, and we can still answer. */
static void an_end_without_close_notify(void **state)
{
	struct rig r;

	(void)state;
	for (int version = 2; version <= 3; version++) {
		open_with(&r, version == 2 ? ctx12 : ctx13);
		r.client.to_write = 1000;
		rig_until(&r, r.server_side.read == 1000);
		shutdown(r.fd, SHUT_WR);
		rig_until(&r, r.server_side.end);
		assert_true(tls_stream_truncated(r.s));
		assert_int_equal(r.server.read_error, ERR_OK);
		rig_send(&r, 100 * 1024);
		rig_until(&r, r.client.read == 100 * 1024);
		rig_close(&r);
	}
}

static void within_a_record(void **state)
{
	struct rig r;
	char in[1];

	(void)state;
	open_with(&r, ctx13);
	assert_int_equal(write(r.fd, "\x17\x03\x03\x01\x00half", 9), 9);
	shutdown(r.fd, SHUT_WR);
	r.client_idle = true;
	rig_until(&r, r.server_side.end);
	assert_true(tls_stream_truncated(r.s));
	assert_int_equal(r.server_side.read, 0);
	assert_int_equal(stream_read(r.s, in, 1), 0); /* as often as it is asked */
	rig_close(&r);
}

static void a_reset(void **state)
{
	struct rig r;
	char in[1];

	(void)state;
	open_with(&r, ctx13);
	r.client_idle = true;
	rig_send(&r, 1024 * 1024);
	rig_until(&r, stream_unsent(r.s) > 0);
	close(r.fd); /* with bytes that nobody read */
	r.fd = dup(0);
	rig_until(&r, r.server.read_error || r.server_side.end);
	assert_int_equal(r.server.read_error, ERR_RESET);
	assert_int_equal(stream_read(r.s, in, 1), -ERR_RESET);
	rig_until(&r, r.server.write_error);
	assert_int_equal(r.server.write_error, ERR_RESET);
	assert_int_equal(stream_unsent(r.s), 0);
	stream_close(r.s);
	r.s = NULL;
	SSL_free(r.ssl);
	r.ssl = NULL;
	rig_close(&r);
}

/* An owner that neither reads nor writes learns of it. */
static void a_reset_while_nobody_reads(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	stream_want(r.s, 0);
	assert_int_equal(stream_write(r.s, "x", 1), 1);
	close(r.fd);
	r.fd = dup(0);
	SSL_free(r.ssl);
	r.ssl = NULL;
	rig_until(&r, r.s->can & STREAM_BROKEN);
	rig_close(&r);
}

static void a_forged_record(void **state)
{
	struct rig r;
	char in[1];

	(void)state;
	open_with(&r, ctx13);
	r.client.to_write = 10;
	rig_until(&r, r.server_side.read == 10);
	assert_int_equal(write(r.fd,
			       "\x17\x03\x03\x00\x14"
			       "abcdefghijklmnopqrst",
			       25),
			 25);
	rig_until(&r, r.server.read_error);
	assert_int_equal(r.server.read_error, ERR_TLS);
	assert_string_equal(tls_stream_why(r.s), "decryption failed or bad record mac");
	assert_int_equal(stream_read(r.s, in, 1), -ERR_TLS);
	assert_int_equal(stream_write(r.s, "x", 1), -ERR_TLS);
	assert_true(r.s->can & STREAM_BROKEN);
	rig_until(&r, r.client_failed);
	assert_string_equal(r.client_error, "sslv3 alert bad record mac");
	rig_close(&r);
}

/* ---- keys ---- */

static void the_peer_changes_keys(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	for (unsigned i = 0; i < 100; i++) {
		SSL_key_update(r.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		r.client.to_write += 100;
		rig_send(&r, 100);
		rig_until(&r,
			  r.server_side.read == r.client.to_write && r.client.read == r.server_side.to_write);
	}
	assert_int_equal(r.server.read_error, ERR_OK);
	rig_close(&r);
}

static void a_flood_of_key_updates(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	r.client_idle = true;
	for (unsigned i = 0; i < 100; i++) {
		SSL_key_update(r.ssl, SSL_KEY_UPDATE_REQUESTED);
		assert_int_equal(SSL_do_handshake(r.ssl), 1);
	}
	rig_until(&r, r.server.read_error);
	assert_int_equal(r.server.read_error, ERR_ABUSE);
	assert_string_equal(tls_stream_why(r.s), "too many key updates or renegotiations");
	assert_int_equal(conn(&r)->messages, TLS_MESSAGES_MAX + 1); /* not one more was looked at */
	assert_true(r.s->can & STREAM_BROKEN);
	rig_close(&r);
}

/* With data in between: what is bounded then is what we hold, when the peer reads none of our answers. */
static void answers_that_nobody_reads(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, ctx13);
	r.client_idle = true;
	set_sndbuf(r.s->ev.fd, 1);
	for (unsigned i = 0; i < 20000 && !r.server.read_error; i++) {
		size_t n;

		SSL_key_update(r.ssl, SSL_KEY_UPDATE_REQUESTED);
		rig_out[0] = rig_pattern(r.client.written++);
		while (!SSL_write_ex(r.ssl, rig_out, 1, &n) && !r.server.read_error)
			loop_turn(0);
		loop_turn(0);
	}
	assert_int_equal(r.server.read_error, ERR_ABUSE);
	assert_true(slab_peak() <= TLS_ANSWERS_MAX_BYTES / SLAB_BYTES + 2);
	rig_close(&r);
}

static void we_change_keys_before_they_wear_out(void **state)
{
	struct rig r;

	(void)state;
	tls_w->rekey_records = 5;
	open_with(&r, ctx13);
	rig_send(&r, 1024 * 1024);
	rig_until(&r, r.client.read == 1024 * 1024);
	rig_close(&r);
	open_with(&r, ctx12); /* which cannot */
	rig_send(&r, 1024 * 1024);
	rig_until(&r, r.client.read == 1024 * 1024);
	rig_close(&r);
}

static void renegotiation_is_refused(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, ctx12);
	SSL_renegotiate(r.ssl);
	SSL_do_handshake(r.ssl);
	r.client_idle = true;
	rig_until(&r, SSL_do_handshake(r.ssl) <= 0 && ERR_peek_error());
	assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
	rig_close(&r);
}

/* ---- what is held ---- */

/* Bytes of malloc that OpenSSL holds, as the allocator counts them. */
static size_t openssl_bytes;

static size_t weight(void *p)
{
	return p ? malloc_usable_size(p) + sizeof(size_t) : 0;
}

static void *counting_malloc(size_t n, const char *file, int line)
{
	void *p = malloc(n);

	(void)file, (void)line;
	openssl_bytes += weight(p);
	return p;
}

static void *counting_realloc(void *old, size_t n, const char *file, int line)
{
	size_t before = weight(old);
	void *p = realloc(old, n);

	(void)file, (void)line;
	openssl_bytes += weight(p) - before;
	return p;
}

static void counting_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	openssl_bytes -= weight(p);
	free(p);
}

static void an_idle_connection_holds_little(void **state)
{
	enum { N = 50, BOUND = 14 * 1024 + 512 };
	struct rig *r = base_zalloc(N * sizeof *r);
	size_t clients, before;

	(void)state;
	/* what the client's half takes is found by doing away with the server's */
	for (int pass = 0; pass < 2; pass++) {
		before = openssl_bytes;
		for (size_t i = 0; i < N; i++) {
			open_with(&r[i], ctx13);
			r[i].client.to_write = 300;
			rig_send(&r[i], 1500);
			rig_until(&r[i], r[i].client.read == 1500 && r[i].server_side.read == 300);
		}
		assert_int_equal(slab_count(), 0);
		clients = openssl_bytes;
		for (size_t i = 0; i < N; i++) {
			stream_close(r[i].s);
			r[i].s = NULL;
		}
		loop_turn(0);
		clients -= openssl_bytes;
		for (size_t i = 0; i < N; i++)
			rig_close(&r[i]);
		(void)before;
	}
	free(r);
	clients = clients / N + sizeof(struct tls_conn) + sizeof(struct stream);
	print_message("an idle connection: %zu bytes\n", clients);
	assert_true(clients <= BOUND);
}

/* ---- */

static int make_all(void **state)
{
	(void)state;
	cert = rig_cert_self("a.test");
	ctx12 = rig_client_ctx(TLS1_2_VERSION);
	ctx13 = rig_client_ctx(TLS1_3_VERSION);
	return 0;
}

static int drop_all(void **state)
{
	(void)state;
	rig_cert_fini(&cert);
	SSL_CTX_free(ctx12);
	SSL_CTX_free(ctx13);
	return 0;
}

static int setup(void **state)
{
	rig_setup(state);
	listener = rig_listener(rig_context(&cert, (struct tls_policy){ 0 }));
	return 0;
}

static int teardown(void **state)
{
	tls_listener_put(listener);
	return rig_teardown(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ten_mebibytes_both_ways),
		TEST(odd_sizes),
		TEST(a_small_answer_is_one_record_and_one_send),
		TEST(bulk_is_full_records_and_few_sends),
		TEST(a_burst_begins_with_small_records),
		TEST(one_read_feeds_many_records),
		TEST(what_does_not_fit_is_kept),
		TEST(a_slow_reader_holds_little),
		TEST(a_full_output_stops_no_input),
		TEST(our_half_ends_first),
		TEST(their_half_ends_first),
		TEST(an_end_without_close_notify),
		TEST(within_a_record),
		TEST(a_reset),
		TEST(a_reset_while_nobody_reads),
		TEST(a_forged_record),
		TEST(the_peer_changes_keys),
		TEST(a_flood_of_key_updates),
		TEST(answers_that_nobody_reads),
		TEST(we_change_keys_before_they_wear_out),
		TEST(renegotiation_is_refused),
		TEST(an_idle_connection_holds_little),
	};

	/* before OpenSSL has allocated anything */
	if (!CRYPTO_set_mem_functions(counting_malloc, counting_realloc, counting_free))
		return 1;
	return cmocka_run_group_tests(tests, make_all, drop_all);
}
