#include "tests/unit/support/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { HEARD_MAX = 1 << 20 };

static void update(struct script *sc, unsigned add)
{
	unsigned can = sc->s->can & (STREAM_HUP | STREAM_BROKEN);

	if (buf_len(&sc->in) || sc->end != ERR_AGAIN)
		can |= STREAM_IN;
	if (sc->window)
		can |= STREAM_OUT;
	stream_set_can(sc->s, can | add);
}

static ssize_t script_readv(struct stream *s, const struct iovec *iov, int n)
{
	struct script *sc = s->impl;
	size_t total = 0;

	sc->reads++;
	assert_true(n > 0 && iov[0].iov_len > 0);
	for (int i = 0; i < n && total < sc->read_max; i++) {
		size_t part = buf_copy(&sc->in, iov[i].iov_base, MIN(iov[i].iov_len, sc->read_max - total));

		buf_drop(&sc->in, part);
		total += part;
	}
	update(sc, 0);
	if (total)
		return (ssize_t)total;
	return sc->end == ERR_EOF ? 0 : -(ssize_t)sc->end;
}

static ssize_t script_writev(struct stream *s, const struct iovec *iov, int n)
{
	struct script *sc = s->impl;
	size_t total = 0, max = MIN(sc->write_max, sc->window);

	sc->writes++;
	assert_false(sc->is_shut);
	if (sc->end != ERR_AGAIN && sc->end != ERR_EOF)
		return -(ssize_t)sc->end;
	for (int i = 0; i < n && total < max; i++) {
		size_t part = MIN(iov[i].iov_len, max - total);

		buf_put(&sc->out, iov[i].iov_base, part);
		total += part;
	}
	sc->window -= total;
	update(sc, 0);
	return total ? (ssize_t)total : -(ssize_t)ERR_AGAIN;
}

static void script_shutdown(struct stream *s)
{
	struct script *sc = s->impl;

	assert_false(sc->is_shut);
	sc->is_shut = true;
}

static size_t script_unsent(const struct stream *s)
{
	const struct script *sc = s->impl;

	return sc->unsent;
}

static void script_fini(struct stream *s)
{
	struct script *sc = s->impl;

	sc->s = NULL;
}

static const struct stream_ops script_ops = {
	.name = "script",
	.readv = script_readv,
	.writev = script_writev,
	.shutdown = script_shutdown,
	.unsent = script_unsent,
	.fini = script_fini,
};

struct stream *script_open(struct script *sc)
{
	*sc = (struct script){
		.read_max = SIZE_MAX,
		.write_max = SIZE_MAX,
		.window = SIZE_MAX,
		.end = ERR_AGAIN,
	};
	buf_init(&sc->in);
	buf_init(&sc->out);
	sc->s = stream_new_scripted(&script_ops, sc);
	update(sc, 0);
	return sc->s;
}

void script_close(struct script *sc)
{
	assert_null(sc->s);
	buf_fini(&sc->in);
	buf_fini(&sc->out);
}

void script_feed(struct script *sc, const void *p, size_t n)
{
	if (!sc->s || !n)
		return;
	buf_put(&sc->in, p, n);
	update(sc, 0);
}

void script_end(struct script *sc)
{
	if (!sc->s)
		return;
	sc->end = ERR_EOF;
	update(sc, STREAM_HUP);
}

void script_hang_up(struct script *sc)
{
	if (!sc->s)
		return;
	sc->end = ERR_EOF;
	update(sc, STREAM_HUP | STREAM_BROKEN);
}

void script_break(struct script *sc)
{
	if (!sc->s)
		return;
	sc->end = ERR_RESET;
	update(sc, STREAM_HUP | STREAM_BROKEN);
}

void script_accept(struct script *sc, size_t n)
{
	sc->window += n;
	if (sc->s)
		update(sc, 0);
}

const char *script_heard(struct script *sc)
{
	static char text[HEARD_MAX];
	size_t n = buf_copy(&sc->out, text, sizeof text - 1);

	assert_int_equal(n, buf_len(&sc->out));
	buf_drop(&sc->out, n);
	text[n] = '\0';
	return text;
}
