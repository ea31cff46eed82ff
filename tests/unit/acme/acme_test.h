/* acme_test.h - what the tests of acme/ share. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/arena.h"

#define assert_str(s, text)                                          \
	do {                                                         \
		struct str s_ = (s);                                 \
		assert_int_equal(s_.n, strlen(text));                \
		assert_memory_equal(s_.p ? s_.p : "", (text), s_.n); \
	} while (0)
