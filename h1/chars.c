/*
 * chars.c - the character classes of HTTP/1.1 as one table of bits.
 */
#include "h1/priv.h"

#define IS_DIGIT(c)   ((c) >= '0' && (c) <= '9')
#define IS_ALPHA(c)   (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define IS_HEX(c)     (IS_DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define IS_VISIBLE(c) ((c) >= 0x21 && (c) <= 0x7e)

/* RFC 9110 section 5.6.2 */
#define IS_TCHAR(c)                                                                                          \
	(IS_DIGIT(c) || IS_ALPHA(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' || \
	 (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' ||  \
	 (c) == '`' || (c) == '|' || (c) == '~')
/* RFC 9110 section 5.5, obs-text included */
#define IS_VALUE(c) ((c) == '\t' || ((c) >= 0x20 && (c) != 0x7f))
/*
 * RFC 9112 section 3.2. More than RFC 3986 allows, since browsers send '|', '^' and braces as they are;
 * a fragment never belongs here, and '\' is '/' to some and a letter to others.
 */
#define IS_TARGET(c) (IS_VISIBLE(c) && (c) != '#' && (c) != '\\')
/* unreserved and sub-delims of RFC 3986 section 2, without the ',' that makes a list */
#define IS_REG_NAME(c)                                                                                       \
	(IS_DIGIT(c) || IS_ALPHA(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~' || (c) == '!' || \
	 (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || (c) == '*' || (c) == '+' ||  \
	 (c) == ';' || (c) == '=')

#define CLASS(c)                                                                                             \
	((IS_TCHAR(c) ? H1_TCHAR : 0) | (IS_VALUE(c) ? H1_VALUE : 0) | (IS_TARGET(c) ? H1_TARGET : 0) |      \
	 (IS_REG_NAME(c) ? H1_REG_NAME : 0) | (IS_HEX(c) ? H1_HEX : 0))
#define CLASS_4(c)  CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS_16(c) CLASS_4(c), CLASS_4((c) + 4), CLASS_4((c) + 8), CLASS_4((c) + 12)
#define CLASS_64(c) CLASS_16(c), CLASS_16((c) + 16), CLASS_16((c) + 32), CLASS_16((c) + 48)

const uint8_t h1_chars[256] = {CLASS_64(0), CLASS_64(64), CLASS_64(128), CLASS_64(192)};
