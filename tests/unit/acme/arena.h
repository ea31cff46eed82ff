/* arena.h - where the texts of one test of acme/ lie. */
#pragma once

#include "core/arena.h"

static struct arena a;

static int setup(void **state)
{
	(void)state;
	arena_init(&a);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&a);
	return 0;
}
