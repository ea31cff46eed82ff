#include "proxy/worker/context.h"

static const struct conf_file *find(const struct map *files, struct str path)
{
	return path.n ? map_find(files, map_hash(path), path, NULL) : NULL;
}

static struct tls_file file(const struct map *files, const struct conf_entry *name)
{
	const struct conf_file *f = find(files, name->text);

	return (struct tls_file){ .name = *name, .pem = f ? f->bytes : STR_NONE };
}

/* pairs has room for v->ncerts; those that are not there may be missing (context_is_whole). */
static struct tls_files files_of(const struct conf_vhost *v, const struct map *files,
				 struct tls_pair_files *pairs)
{
	size_t n = 0;

	for (size_t i = 0; i < v->ncerts; i++) {
		pairs[n].cert = file(files, &v->certs[i].cert);
		pairs[n].key = file(files, &v->certs[i].key);
		n += pairs[n].cert.pem.p && pairs[n].key.pem.p;
	}
	return (struct tls_files){
		.pairs = pairs,
		.npairs = n,
		.ca = file(files, &v->ca),
		.client_ca = file(files, &v->client_ca),
	};
}

static bool is_from_store(const struct conf_vhost *v, const struct map *files)
{
	for (size_t i = 0; i < v->ncerts; i++) {
		const struct conf_file *f = find(files, v->certs[i].cert.text);

		if (f && f->is_store)
			return true;
	}
	return false;
}

/* Nobody has written what is in the store: what is wrong with it must not keep a configuration away. */
static struct tls_context *make(struct tls_files *f, const struct tls_policy *p, bool is_stored,
				const struct conf_vhost *v, struct conf_report *r)
{
	struct conf_report wrong;
	struct tls_context *c;

	if (!is_stored || !f->npairs)
		return tls_context_new(f, p, r);
	conf_report_init(&wrong);
	c = tls_context_new(f, p, &wrong);
	if (!c) {
		conf_report_add(r, CONF_WARNING, v->pos, NULL, "the stored certificate of \"%.*s\" %s",
				STR_ARG(v->name), "cannot be used: it is obtained anew");
		f->npairs = 0;
		c = tls_context_new(f, p, r);
	}
	conf_report_fini(&wrong);
	return c;
}

struct tls_context *context_new(const struct conf_vhost *v, const struct map *files, struct conf_report *r)
{
	struct tls_pair_files *pairs = base_alloc(v->ncerts * sizeof *pairs);
	struct tls_files f = files_of(v, files, pairs);
	const struct tls_policy p = {
		.ciphers = v->ciphers,
		.tls13_ciphers = v->tls13_ciphers,
		.curves = v->curves,
		.alpn = v->alpn,
		.min_version = v->tls_min == 13 ? TLS_VERSION_13 : TLS_VERSION_12,
		.options_set = v->ssl_options_set,
		.options_clear = v->ssl_options_clear,
		.set_pos = v->ssl_set_pos,
		.clear_pos = v->ssl_clear_pos,
	};
	struct tls_context *c = make(&f, &p, is_from_store(v, files), v, r);

	free(pairs);
	return c;
}

/* Or may be missing, or nobody names it. */
static bool is_there(const struct map *files, const struct conf_entry *name)
{
	const struct conf_file *f = find(files, name->text);

	return !name->text.n || (f && (f->bytes.p || !f->needed));
}

bool context_is_whole(const struct conf_vhost *v, const struct map *files)
{
	bool is_whole = (v->ncerts || v->acme) && is_there(files, &v->ca) && is_there(files, &v->client_ca);

	for (size_t i = 0; i < v->ncerts; i++)
		is_whole &= is_there(files, &v->certs[i].cert) && is_there(files, &v->certs[i].key);
	return is_whole;
}

void context_warn(const struct tls_context *c, const struct conf_vhost *v, const struct map *files,
		  struct conf_report *r)
{
	struct tls_pair_files *pairs = base_alloc(v->ncerts * sizeof *pairs);
	const struct tls_files f = files_of(v, files, pairs);

	tls_context_warn(c, &f, v->name, r);
	free(pairs);
}
