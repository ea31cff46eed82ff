/*
 * look.h - mounts that show how this Gatehouse is doing (`status:`, `metrics:`): a worker asks its parent for
 * the picture, and a page waits for it.
 *
 * All who ask meanwhile share one question, one picture and one text of each form; a picture is good for a
 * second. Called by route (look_open) and worker (the rest).
 */
#pragma once

#include "core/msg.h"
#include "proxy/worker/page.h"

/* Once in a worker, which then may ask by this channel. */
void look_init(struct msg_channel *parent);
void look_fini(void);

/* Answers x: with metrics, or in the form that its Accept wants. Within two seconds, with 503 if need be. */
void look_open(struct exchange *x, const struct page_about *about, bool metrics);

/* The media type that this request would be answered with. */
struct str look_type(const struct head *request, bool metrics);

/* PICTURE: false when it was not asked for, or makes no sense. */
bool look_take(const struct msg_rows *head, struct str rows) MUST_USE;
