#include "conf/priv.h"

struct unit {
	const char *name;
	uint64_t factor;
};

enum conf_value conf_to_bool(struct str s, bool *out)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {
		{ "1", true }, { "yes", true }, { "on", true },   { "true", true },
		{ "0", false }, { "no", false }, { "off", false }, { "false", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_eq_nocase(s, str_from_c(words[i].text))) {
			*out = words[i].value;
			return CONF_VALUE_OK;
		}
	}
	return CONF_VALUE_FORM;
}

enum conf_value conf_to_number(struct str s, uint64_t max, uint64_t *out)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return CONF_VALUE_FORM;
	if (s.n == 0)
		return CONF_VALUE_FORM;
	if (s.n > 1 && s.p[0] == '0')
		return CONF_VALUE_ZEROS; /* octal to some, decimal to others */
	return str_to_u64(s, max, out) ? CONF_VALUE_OK : CONF_VALUE_LARGE;
}

static enum conf_value with_unit(struct str s, const struct unit *units, size_t n, uint64_t max,
				 uint64_t *out)
{
	size_t digits = 0;
	enum conf_value v;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	for (size_t i = 0; i < n; i++) {
		if (!str_eq(str_of(s.p + digits, s.n - digits), str_from_c(units[i].name)))
			continue;
		v = conf_to_number(str_of(s.p, digits), max / units[i].factor, out);
		if (v == CONF_VALUE_OK)
			*out *= units[i].factor;
		return v;
	}
	return CONF_VALUE_FORM;
}

enum conf_value conf_to_ms(struct str s, uint64_t *out)
{
	static const struct unit units[] = {
		{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};

	return with_unit(s, units, ARRAY_SIZE(units), CONF_MS_MAX, out);
}

enum conf_value conf_to_bytes(struct str s, uint64_t *out)
{
	static const struct unit units[] = {
		{ "", 1 },	   { "k", 1u << 10 }, { "m", 1u << 20 }, { "g", 1u << 30 },
		{ "K", 1u << 10 }, { "M", 1u << 20 }, { "G", 1u << 30 },
	};

	return with_unit(s, units, ARRAY_SIZE(units), CONF_BYTES_MAX, out);
}

struct str conf_lower(struct arena *a, struct str s)
{
	char *p = arena_dup_c(a, s);

	for (size_t i = 0; i < s.n; i++)
		p[i] = str_lower_char(p[i]);
	return str_of(p, s.n);
}
