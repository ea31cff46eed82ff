/*
 * load.c - the pass over all files: read each, then `global` of all, then the vhosts of all.
 */
#include "conf/priv.h"
#include <time.h>

/* `global` and `vhosts` wait until every file is read: vhosts start from what `global` says. */
void conf_set_global(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	(void)k;
	(void)object;
	arena_grow(&l->tmp, l->globals, l->nglobals, l->globals_cap);
	l->globals[l->nglobals++] = v;
}

void conf_set_vhosts(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	(void)k;
	(void)object;
	arena_grow(&l->tmp, l->vhost_lists, l->nvhost_lists, l->vhost_lists_cap);
	l->vhost_lists[l->nvhost_lists++] = v;
}

static void open_source(struct conf_loader *l, const struct conf_source *src)
{
	conf_report_text(l->r, src->path, src->bytes);
	l->reader = conf_reader_open(&l->tmp, src->bytes, arena_dup_c(&l->c->arena, src->path), l->r);
	if (!l->reader)
		l->stopped = true;
}

static void close_source(struct conf_loader *l, bool whole)
{
	const struct conf_node *seen[CONF_KEY_COUNT] = { NULL };
	const struct conf_node *root = conf_reader_close(l->reader);

	l->reader = NULL;
	if (!whole) {
		l->stopped = true;
		return;
	}
	if (!root || (root->kind == CONF_NODE_SCALAR && root->plain && !root->text.n))
		return; /* nothing but comments */
	if (root->kind != CONF_NODE_MAPPING)
		conf_error(l, root, "a file begins with \"global\" or \"vhosts\"",
			   "this is no mapping of keys");
	else
		conf_walk(l, CONF_IN_FILE, NULL, root, seen);
}

/* Some events of a file. False: there are no more files. */
static bool step_files(struct conf_loader *l)
{
	enum conf_reading reading;

	if (!l->reader && l->next_src == l->nsrc)
		return false;
	if (!l->reader) {
		open_source(l, &l->src[l->next_src++]);
		return true;
	}
	reading = conf_reader_step(l->reader, 256);
	if (reading != CONF_READING_MORE)
		close_source(l, reading == CONF_READING_DONE);
	return true;
}

/* One vhost. False: there are no more. */
static bool step_vhosts(struct conf_loader *l)
{
	while (l->next_list < l->nvhost_lists) {
		l->vhost = conf_next_mapping(l, l->vhost_lists[l->next_list], l->vhost);
		if (l->vhost) {
			conf_load_vhost(l, l->vhost);
			return true;
		}
		l->next_list++;
	}
	return false;
}

static struct config *config_new(void)
{
	struct arena arena;
	struct config *c;

	arena_init(&arena);
	c = arena_new(&arena, struct config);
	c->arena = arena;
	c->refs = 1;
	c->global.limits = limits_default;
	c->global.timeouts = timeouts_default;
	return c;
}

/* Nothing to do is an error, unless what there is could not be read. */
static void check_whole(struct conf_loader *l)
{
	size_t n = l->nsrc;
	struct conf_pos pos = { .file = n ? arena_dup_c(&l->tmp, l->src[n - 1].path) : NULL };

	if (!l->c->nvhosts && !l->stopped && l->r->counts[CONF_ERROR] == l->errors_before)
		conf_report_add(
			l->r, CONF_ERROR, pos,
			"begin with \"vhosts\": [ { \"name\": ..., \"port\": ..., \"mounts\": ... } ]",
			"there is no vhost: nothing to listen on");
}

struct conf_loader *conf_load_open(const struct conf_source *src, size_t n, const struct conf_options *opt,
				   struct conf_report *r)
{
	struct conf_loader *l = base_zalloc(sizeof *l);

	l->src = src;
	l->nsrc = n;
	l->c = config_new();
	l->r = r;
	l->errors_before = r->counts[CONF_ERROR];
	l->acme_end = &l->acme_first;
	l->data_dir = opt && opt->data_dir.n ? opt->data_dir : STR(CONF_DATA_DIR);
	arena_init(&l->tmp);
	return l;
}

/* A piece of work of well under a millisecond, but for preparing a file. */
static void step(struct conf_loader *l)
{
	switch (l->phase) {
	case CONF_PHASE_FILES:
		if (!step_files(l))
			l->phase = CONF_PHASE_GLOBALS;
		break;
	case CONF_PHASE_GLOBALS:
		for (size_t i = 0; i < l->nglobals; i++)
			conf_walk(l, CONF_IN_GLOBAL, &l->c->global, l->globals[i], l->global_seen);
		conf_finish_global(l);
		l->phase = CONF_PHASE_VHOSTS;
		break;
	case CONF_PHASE_VHOSTS:
		if (step_vhosts(l))
			break;
		conf_finish_acme(l);
		conf_finish_listeners(l);
		conf_finish_raw(l);
		check_whole(l);
		conf_report_sort(l->r);
		l->phase = CONF_PHASE_DONE;
		break;
	case CONF_PHASE_DONE: break;
	}
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool conf_load_step(struct conf_loader *l, uint64_t max_us)
{
	uint64_t start = max_us ? now_us() : 0;

	do
		step(l);
	while (l->phase != CONF_PHASE_DONE && (!max_us || now_us() - start < max_us));
	return l->phase == CONF_PHASE_DONE;
}

struct config *conf_load_close_anyhow(struct conf_loader *l)
{
	struct config *c = l->c;

	if (l->reader)
		conf_reader_close(l->reader);
	arena_fini(&l->tmp);
	free(l);
	return c;
}

struct config *conf_load_close(struct conf_loader *l)
{
	bool good = l->phase == CONF_PHASE_DONE && l->r->counts[CONF_ERROR] == l->errors_before;
	struct config *c = conf_load_close_anyhow(l);

	if (good)
		return c;
	conf_put(c);
	return NULL;
}

struct config *conf_load(const struct conf_source *src, size_t n, const struct conf_options *opt,
			 struct conf_report *r)
{
	struct conf_loader *l = conf_load_open(src, n, opt, r);

	conf_load_step(l, 0);
	return conf_load_close(l);
}
