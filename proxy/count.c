#include "proxy/count.h"
#include "proxy/rate.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Addresses are counted in a set-associative table: a bucket is one cache line, and an address that finds
 * no place in its bucket goes uncounted. 32,768 places serve twice the default of limits.connections, and
 * memory is only touched as addresses come.
 */
enum { WAYS = 8, BUCKETS = 4096, MAGIC = 0x67617465 };

/* A place: tag in the upper half, count in the lower. One writer; others only sum. */
struct bucket {
	_Alignas(64) _Atomic uint64_t place[WAYS];
};

struct column {
	_Alignas(64) _Atomic uint32_t in_use;
	_Atomic uint32_t state; /* enum count_state */
	_Atomic uint32_t connections;
	_Atomic uint32_t undecided; /* of them, of a protocol that is not known yet */
};

struct addresses {
	_Alignas(4096) struct bucket bucket[BUCKETS];
};

/* The columns lie together, so that summing them touches little; their addresses lie behind all of them. */
struct page {
	uint32_t magic;
	_Atomic uint32_t used; /* columns ever taken: the rest need not be looked at */
	uint64_t secret;
	struct column column[COUNT_COLUMNS];
	struct addresses addresses[COUNT_COLUMNS];
	struct outage_names names;
	struct rate_table rates;
};

struct count {
	struct page *page;
	unsigned own; /* a worker's column */
	int fd;       /* the parent's; -1 in a worker */
};

static struct count *map(int fd)
{
	struct count *c;
	void *p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return NULL;
	c = base_zalloc(sizeof *c);
	c->page = p;
	c->fd = -1;
	return c;
}

struct count *count_make(void)
{
	int fd = memfd_create("gatehouse-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct count *c = NULL;

	if (fd < 0)
		return NULL;
	/* sealed, so that no worker can cut it and kill the others with SIGBUS */
	if (ftruncate(fd, sizeof(struct page)) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		c = map(fd);
	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->page->magic = MAGIC;
	if (getrandom(&c->page->secret, sizeof c->page->secret, 0) != sizeof c->page->secret)
		c->page->secret = (uintptr_t)c;
	return c;
}

int count_fd(const struct count *c)
{
	return c->fd;
}

int count_take_column(struct count *c)
{
	for (unsigned i = 0; i < COUNT_COLUMNS; i++) {
		uint32_t unused = 0;

		if (!atomic_compare_exchange_strong(&c->page->column[i].in_use, &unused, 1))
			continue;
		if (i >= atomic_load(&c->page->used))
			atomic_store(&c->page->used, i + 1);
		return (int)i;
	}
	return -1;
}

void count_clear_column(struct count *c, unsigned column)
{
	size_t at = offsetof(struct page, addresses) + column * sizeof(struct addresses);

	/* reads as zeros from then on, and gives the memory back */
	if (fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
		      sizeof(struct addresses)) < 0)
		memset(&c->page->addresses[column], 0, sizeof(struct addresses));
	atomic_store(&c->page->column[column].state, COUNT_LEAVES);
	atomic_store(&c->page->column[column].connections, 0);
	atomic_store(&c->page->column[column].undecided, 0);
	atomic_store(&c->page->column[column].in_use, 0);
}

struct count *count_open(int fd, unsigned column)
{
	struct stat st;
	struct count *c;

	if (column >= COUNT_COLUMNS || fstat(fd, &st) < 0 || st.st_size != sizeof(struct page))
		return NULL;
	c = map(fd);
	if (c && c->page->magic != MAGIC) {
		count_free(c);
		return NULL;
	}
	if (c)
		c->own = column;
	return c;
}

void count_free(struct count *c)
{
	munmap(c->page, sizeof *c->page);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

void count_add(struct count *c)
{
	atomic_fetch_add_explicit(&c->page->column[c->own].connections, 1, memory_order_relaxed);
}

void count_sub(struct count *c)
{
	atomic_fetch_sub_explicit(&c->page->column[c->own].connections, 1, memory_order_relaxed);
}

unsigned count_mine(const struct count *c)
{
	return atomic_load_explicit(&c->page->column[c->own].connections, memory_order_relaxed);
}

void count_undecided_add(struct count *c)
{
	atomic_fetch_add_explicit(&c->page->column[c->own].undecided, 1, memory_order_relaxed);
}

void count_undecided_sub(struct count *c)
{
	atomic_fetch_sub_explicit(&c->page->column[c->own].undecided, 1, memory_order_relaxed);
}

/* In one order for all workers: whoever stops taking looks afterwards whether somebody is left. */
void count_set_state(struct count *c, enum count_state s)
{
	atomic_store(&c->page->column[c->own].state, s);
}

/* What another worker wrote there is not trusted. */
static unsigned used(const struct count *c)
{
	return MIN(atomic_load_explicit(&c->page->used, memory_order_relaxed), (uint32_t)COUNT_COLUMNS);
}

struct count_sum count_sum(const struct count *c)
{
	struct count_sum sum = { 0 };

	for (unsigned i = 0; i < used(c); i++) {
		const struct column *column = &c->page->column[i];
		unsigned n, state;

		if (!atomic_load_explicit(&column->in_use, memory_order_relaxed))
			continue;
		n = atomic_load_explicit(&column->connections, memory_order_relaxed);
		sum.connections += n;
		sum.undecided += atomic_load_explicit(&column->undecided, memory_order_relaxed);
		state = atomic_load(&column->state);
		if (state == COUNT_LEAVES)
			continue;
		sum.shared += n;
		sum.workers++;
		sum.takers += state == COUNT_TAKES && i != c->own;
	}
	return sum;
}

/* ---- addresses ---- */

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1; /* 0 is a place never used */
}

static _Atomic uint64_t *find(struct addresses *a, uint64_t hash)
{
	struct bucket *b = &a->bucket[hash % BUCKETS];

	for (unsigned i = 0; i < WAYS; i++)
		if (atomic_load_explicit(&b->place[i], memory_order_relaxed) >> 32 == tag_of(hash))
			return &b->place[i];
	return NULL;
}

static _Atomic uint64_t *find_or_make(struct addresses *a, uint64_t hash)
{
	struct bucket *b = &a->bucket[hash % BUCKETS];
	_Atomic uint64_t *place = find(a, hash);

	for (unsigned i = 0; !place && i < WAYS; i++)
		if ((uint32_t)atomic_load_explicit(&b->place[i], memory_order_relaxed) == 0) {
			place = &b->place[i];
			atomic_store_explicit(place, (uint64_t)tag_of(hash) << 32, memory_order_relaxed);
		}
	return place;
}

unsigned count_address_add(struct count *c, uint64_t hash)
{
	_Atomic uint64_t *own = find_or_make(&c->page->addresses[c->own], hash);
	unsigned sum = 0;

	if (!own)
		return 0;
	atomic_fetch_add_explicit(own, 1, memory_order_relaxed);
	for (unsigned i = 0; i < used(c); i++) {
		_Atomic uint64_t *place;

		if (!atomic_load_explicit(&c->page->column[i].in_use, memory_order_relaxed))
			continue;
		place = find(&c->page->addresses[i], hash);
		if (place)
			sum += (uint32_t)atomic_load_explicit(place, memory_order_relaxed);
	}
	return sum;
}

void count_address_sub(struct count *c, uint64_t hash)
{
	_Atomic uint64_t *own = find(&c->page->addresses[c->own], hash);

	if (own && (uint32_t)atomic_load_explicit(own, memory_order_relaxed))
		atomic_fetch_sub_explicit(own, 1, memory_order_relaxed);
}

uint64_t count_secret(const struct count *c)
{
	return c->page->secret;
}

struct outage_names *count_names(struct count *c)
{
	return &c->page->names;
}

struct rate_table *count_rates(struct count *c)
{
	return &c->page->rates;
}
