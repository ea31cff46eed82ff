#include "proxy/resolver.h"
#include "core/loop.h"
#include "proxy/born.h"
#include "proxy/helper.h"

int resolver_run(void)
{
	struct msg_channel parent;

	if (!born_begin(&parent, MSG_RESOLVER, &handlers_resolver, helper_ended))
		return EXIT_FAILURE;
	loop_run();
	msg_close(&parent);
	loop_close();
	return EXIT_SUCCESS;
}
