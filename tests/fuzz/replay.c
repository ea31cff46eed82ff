/*
 * replay.c - runs a fuzz target without libFuzzer: each file of its corpus, then mutations of them.
 *
 * The mutations come from a fixed seed, so that a failure is the same the next time. An empty corpus is a
 * failure: a target that nothing feeds tests nothing. On a crash, what was fed last is printed in hexadecimal
 * (xxd -r -p makes a file of it).
 *
 *	fuzz_FOLDER_WHAT CORPUS [MUTATIONS]		or: fuzz_FOLDER_WHAT FILE
 */
#include <dirent.h>
#include <errno.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (256 * 1024)
#define MUTATIONS 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
	uint8_t *data;
	size_t n;
};

static struct input last;

static void show_last(void)
{
	fprintf(stderr, "replay: %zu bytes were fed:\n", last.n);
	for (size_t i = 0; i < last.n; i++)
		fprintf(stderr, "%02x", last.data[i]);
	fprintf(stderr, "\n");
}

/* A failed assertion. What the sanitizers find comes to show_last by their own way. */
static void on_abort(int signal)
{
	(void)signal;
	show_last();
}

static void die(const char *what)
{
	fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct input load(const char *path)
{
	struct input in = { malloc(INPUT_MAX), 0 };
	FILE *f = fopen(path, "rb");

	if (!f || !in.data)
		die(path);
	in.n = fread(in.data, 1, INPUT_MAX, f);
	if (ferror(f))
		die(path);
	fclose(f);
	return in;
}

/* In a block of exactly its size, so that AddressSanitizer sees every read beyond it. */
static void feed(const uint8_t *data, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		die("malloc");
	memcpy(exact, data, n);
	last = (struct input){ exact, n };
	LLVMFuzzerTestOneInput(exact, n);
	last.n = 0;
	free(exact);
}

/* splitmix64: a fixed sequence, the same on every machine. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t n)
{
	return n ? (size_t)(next_random(state) % n) : 0;
}

/* Changes data[0..n) in one place, perhaps with bytes of another input; returns the new length. */
static size_t mutate(uint8_t *data, size_t n, const struct input *other, uint64_t *state)
{
	static const char spice[] = "\r\n\0\t :;,=%/?#[]{}\"'\\\x7f\x80\xff" "0129afxA-+_.";
	size_t at = below(state, n + 1), run, from;

	switch (next_random(state) % 7) {
	case 0:		/* a bit */
		if (at < n)
			data[at] ^= (uint8_t)(1 << below(state, 8));
		return n;
	case 1:		/* a byte that means something to a parser */
		if (at < n)
			data[at] = (uint8_t)spice[below(state, sizeof(spice))];
		return n;
	case 2:		/* one more of them */
		if (n == INPUT_MAX)
			return n;
		memmove(data + at + 1, data + at, n - at);
		data[at] = (uint8_t)spice[below(state, sizeof(spice))];
		return n + 1;
	case 3:		/* a few bytes less */
		run = below(state, (n - at < 16 ? n - at : 16) + 1);
		memmove(data + at, data + at + run, n - at - run);
		return n - run;
	case 4:		/* a piece again */
		run = below(state, (n - at < 64 ? n - at : 64) + 1);
		if (n + run > INPUT_MAX)
			return n;
		memmove(data + at + run, data + at, n - at);
		return n + run;
	case 5:		/* the end of another input */
		from = below(state, other->n + 1);
		run = other->n - from < INPUT_MAX - at ? other->n - from : INPUT_MAX - at;
		memcpy(data + at, other->data + from, run);
		return at + run;
	default:	/* cut off */
		return at;
	}
}

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	static uint8_t data[INPUT_MAX];
	long mutations = argc > 2 ? strtol(argv[2], NULL, 10) : MUTATIONS;
	uint64_t state = 1;
	struct dirent **names;
	struct input *inputs;
	struct stat st;
	int count;

	__sanitizer_set_death_callback(show_last);
	signal(SIGABRT, on_abort);
	if (argc < 2 || stat(argv[1], &st) < 0)
		die(argc < 2 ? "usage: CORPUS [MUTATIONS]" : argv[1]);
	if (!S_ISDIR(st.st_mode)) {
		struct input one = load(argv[1]);

		feed(one.data, one.n);
		free(one.data);
		return 0;
	}
	count = scandir(argv[1], &names, is_file, alphasort);
	if (count <= 0) {
		fprintf(stderr, "replay: %s has no input\n", argv[1]);
		return 1;
	}
	inputs = calloc((size_t)count, sizeof(*inputs));
	if (!inputs)
		die("calloc");
	for (int i = 0; i < count; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
		inputs[i] = load(path);
		fprintf(stderr, "%s\n", names[i]->d_name);
		feed(inputs[i].data, inputs[i].n);
		free(names[i]);
	}
	free(names);
	for (long i = 0; i < mutations; i++) {
		const struct input *base = &inputs[below(&state, (size_t)count)];
		const struct input *other = &inputs[below(&state, (size_t)count)];
		size_t n = base->n;

		memcpy(data, base->data, n);
		for (size_t k = 1 + below(&state, 4); k; k--)
			n = mutate(data, n, other, &state);
		feed(data, n);
	}
	for (int i = 0; i < count; i++)
		free(inputs[i].data);
	free(inputs);
	printf("%d inputs and %ld mutations of them\n", count, mutations);
	return 0;
}
