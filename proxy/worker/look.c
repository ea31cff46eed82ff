#include "proxy/worker/look.h"
#include "proxy/worker/show.h"

enum {
	GOOD_MS = 1000, /* so that whoever asks all the time costs the same as one a second */
	WAIT_MS = 2000, /* the parent takes half of it for workers that do not answer */
};

enum form { FORM_HTML, FORM_JSON, FORM_TEXT, FORM_METRICS, FORMS };

/* A picture and what was made of it; counted by those who send it. */
struct shown {
	unsigned refs;
	uint64_t made_ms;
	struct picture picture;
	struct text form[FORMS]; /* when somebody has asked for it */
	struct text policy;      /* of the page */
};

/* Who waits. In its exchange's arena. */
struct looker {
	struct list node;
	struct page *page;
	struct page_about about;
	enum form form;
	struct shown *shown; /* what it sends; NULL: it waits */
};

static struct {
	struct msg_channel *parent;
	struct list waiting;
	struct timer deadline;
	struct shown *last;    /* NULL: none yet */
	struct picture coming; /* while is_asked */
	bool is_asked;
	uint32_t id;
} here;

static void put(struct shown *s)
{
	if (!s || --s->refs)
		return;
	picture_fini(&s->picture);
	for (size_t i = 0; i < FORMS; i++)
		free(s->form[i].p);
	free(s->policy.p);
	free(s);
}

/* ---- answers ---- */

static struct str text_of(struct shown *s, enum form form)
{
	struct text *t = &s->form[form];

	if (t->n)
		return text_str(t);
	switch (form) {
	case FORM_HTML: show_html(t, &s->picture, loop_wall_s(), &s->policy); break;
	case FORM_JSON: show_json(t, &s->picture); break;
	case FORM_TEXT: show_text(t, &s->picture, loop_wall_s()); break;
	case FORM_METRICS: show_metrics(t, &s->picture); break;
	case FORMS: break;
	}
	return text_str(t);
}

static struct str type_of(enum form form)
{
	static const struct str types[FORMS] = {
		[FORM_HTML] = { "text/html; charset=utf-8", 24 },
		[FORM_JSON] = { "application/json", 16 },
		[FORM_TEXT] = { "text/plain; charset=utf-8", 25 },
		[FORM_METRICS] = { SHOW_METRICS_TYPE, sizeof SHOW_METRICS_TYPE - 1 },
	};

	return types[form];
}

static void give(struct looker *l, struct shown *s)
{
	struct arena *a = &page_exchange(l->page)->arena;
	struct str text = text_of(s, l->form), policy = STR_NONE;

	if (l->form == FORM_HTML)
		policy = arena_dup(a, text_str(&s->policy));
	l->shown = s;
	s->refs++;
	list_del(&l->node);
	page_give(l->page, page_make_own(a, &l->about, type_of(l->form), policy, text.n), text);
}

static void refuse(struct looker *l)
{
	struct exchange *x = page_exchange(l->page);
	struct head *h;
	struct str body;

	list_del(&l->node);
	l->about.status = 503;
	h = page_make(&x->arena, x->request, &l->about, &body);
	page_give(l->page, h, body);
}

static void too_late(struct timer *t)
{
	(void)t;
	while (!list_empty(&here.waiting))
		refuse(list_entry(here.waiting.next, struct looker, node));
}

static void over(void *owner)
{
	struct looker *l = owner;

	list_del(&l->node);
	put(l->shown);
	l->shown = NULL;
}

/* ---- questions ---- */

static void ask(void)
{
	struct msg_rows m = { here.id + 1, 1 };

	if (here.is_asked)
		return;
	here.is_asked = true;
	here.id = m.id;
	picture_init(&here.coming);
	msg_send(here.parent, MSG_LOOK, &m, sizeof m, -1);
}

bool look_take(const struct msg_rows *head, struct str rows)
{
	struct shown *s;

	if (!here.is_asked || head->id != here.id || !picture_take(&here.coming, rows))
		return false;
	if (!head->is_last)
		return true;
	s = base_zalloc(sizeof *s);
	s->refs = 1;
	s->made_ms = loop_now_ms();
	TAKE(s->picture, &here.coming);
	put(here.last);
	here.last = s;
	here.is_asked = false;
	timer_stop(&here.deadline);
	while (!list_empty(&here.waiting))
		give(list_entry(here.waiting.next, struct looker, node), s);
	return true;
}

static enum form form_for(const struct head *request)
{
	switch (page_choose(request)) {
	case PAGE_HTML: return FORM_HTML;
	case PAGE_JSON:
	case PAGE_PROBLEM: return FORM_JSON;
	case PAGE_TEXT: return FORM_TEXT;
	}
	return FORM_HTML;
}

struct str look_type(const struct head *request, bool metrics)
{
	return type_of(metrics ? FORM_METRICS : form_for(request));
}

/* What it is cannot be changed. */
static bool is_reading(struct exchange *x, const struct page_about *about)
{
	struct page_about refusal = *about;
	struct head *h;
	struct str body;

	if (str_eq(x->request->method, STR("GET")) || str_eq(x->request->method, STR("HEAD")))
		return true;
	refusal.status = 405;
	h = page_make(&x->arena, x->request, &refusal, &body);
	head_set(&x->arena, h, FIELD_ALLOW, STR("GET, HEAD"));
	page_open(x, h, body);
	return false;
}

void look_open(struct exchange *x, const struct page_about *about, bool metrics)
{
	struct looker *l;

	if (!is_reading(x, about))
		return;
	l = arena_new(&x->arena, struct looker);
	l->about = *about;
	l->form = metrics ? FORM_METRICS : form_for(x->request);
	l->page = page_open_later(x, over, l);
	list_push(&here.waiting, &l->node);
	if (here.last && loop_now_ms() - here.last->made_ms < GOOD_MS) {
		give(l, here.last);
		return;
	}
	if (!timer_is_set(&here.deadline))
		timer_set(&here.deadline, WAIT_MS);
	ask();
}

void look_init(struct msg_channel *parent)
{
	here.parent = parent;
	list_init(&here.waiting);
	timer_init(&here.deadline, too_late);
}

void look_fini(void)
{
	if (!here.parent)
		return;
	timer_stop(&here.deadline);
	if (here.is_asked)
		picture_fini(&here.coming);
	put(here.last);
	here.last = NULL;
	here.is_asked = false;
}
