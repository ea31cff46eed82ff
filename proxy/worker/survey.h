/*
 * survey.h - what a worker knows of itself, its vhosts, upstreams, certificates and logs, as rows for the
 * parent. Called by worker, when the parent asks.
 */
#pragma once

#include "core/msg.h"
#include "proxy/picture.h"

/* What only the worker's own state tells. */
struct survey_facts {
	uint64_t generation, connections, accepted;
	bool is_draining;
	int statm; /* /proc/self/statm, opened before files were out of reach; -1: it could not be */
};

/* Sends ROWS with this id, the last one marked. */
void survey_send(struct msg_channel *c, uint32_t id, const struct survey_facts *facts);
