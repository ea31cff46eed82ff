#include "proxy/parent.h"

bool parent_on_store(struct msg_channel *channel, struct msg_in *m)
{
	const struct msg_store *s = m->data;
	struct msg_stored done = { s->id, ENOSYS };

	msg_send(channel, MSG_STORED, &done, sizeof done, -1);
	return true;
}

bool parent_on_challenge(struct msg_channel *channel, struct msg_in *m)
{
	const struct msg_challenge *c = m->data;
	struct msg_challenge_ready done = { c->id, ENOSYS };

	msg_send(channel, MSG_CHALLENGE_READY, &done, sizeof done, -1);
	return true;
}

bool parent_on_unchallenge(struct msg_channel *channel, struct msg_in *m)
{
	(void)channel, (void)m;
	return true;
}

bool parent_on_token_have(struct msg_channel *channel, struct msg_in *m)
{
	(void)channel, (void)m;
	return true;
}

bool parent_on_acme_state(struct msg_channel *channel, struct msg_in *m)
{
	(void)channel, (void)m;
	return true;
}
