#include "proxy/context.h"

static struct tls_file file(const struct map *files, const struct conf_entry *name)
{
	const struct conf_file *f =
		name->text.n ? map_find(files, map_hash(name->text), name->text, NULL) : NULL;

	return (struct tls_file){ .name = *name, .pem = f ? f->bytes : STR_NONE };
}

/* pairs has room for v->ncerts. */
static struct tls_files files_of(const struct conf_vhost *v, const struct map *files,
				 struct tls_pair_files *pairs)
{
	for (size_t i = 0; i < v->ncerts; i++) {
		pairs[i].cert = file(files, &v->certs[i].cert);
		pairs[i].key = file(files, &v->certs[i].key);
	}
	return (struct tls_files){
		.pairs = pairs,
		.npairs = v->ncerts,
		.ca = file(files, &v->ca),
		.client_ca = file(files, &v->client_ca),
	};
}

struct tls_context *context_new(const struct conf_vhost *v, const struct map *files, struct conf_report *r)
{
	struct tls_pair_files *pairs = base_alloc(v->ncerts * sizeof *pairs);
	const struct tls_files f = files_of(v, files, pairs);
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
	struct tls_context *c = tls_context_new(&f, &p, r);

	free(pairs);
	return c;
}

static bool is_there(const struct tls_file *f)
{
	return f->name.text.n && f->pem.p;
}

bool context_is_whole(const struct conf_vhost *v, const struct map *files)
{
	struct tls_pair_files *pairs = base_alloc(v->ncerts * sizeof *pairs);
	const struct tls_files f = files_of(v, files, pairs);
	bool is_whole = f.npairs && (!f.ca.name.text.n || is_there(&f.ca)) &&
			(!f.client_ca.name.text.n || is_there(&f.client_ca));

	for (size_t i = 0; i < f.npairs; i++)
		is_whole &= is_there(&f.pairs[i].cert) && is_there(&f.pairs[i].key);
	free(pairs);
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
