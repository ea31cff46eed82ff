#include "proxy/worker/page.h"

/*
 * System fonts, no images, nothing from elsewhere. The line under the heading of a waiting page runs as
 * long as PAGE_RETRY_S.
 */
#define STYLE \
	":root {\n" \
	"\tcolor-scheme: light dark;\n" \
	"\t--paper: #faf9f7; --ink: #1e2023; --soft: #63666c; --line: #e2dfd9; --accent: #35688c;\n" \
	"}\n" \
	"@media (prefers-color-scheme: dark) {\n" \
	"\t:root {\n"                                                                                          \
	"\t\t--paper: #17181b; --ink: #e9e7e2; --soft: #9da0a6; --line: #303237; --accent: #8fbbdb;\n"         \
	"\t}\n"                                                                                               \
	"}\n" \
	"* { box-sizing: border-box; margin: 0; }\n" \
	"html {\n" \
	"\tbackground: var(--paper); color: var(--ink);\n" \
	"\tfont: 1.0625rem/1.6 system-ui, -apple-system, \"Segoe UI\", Roboto, \"Helvetica Neue\",\n" \
	"\t\t\"Noto Sans\", \"Liberation Sans\", sans-serif;\n" \
	"\t-webkit-text-size-adjust: 100%; text-size-adjust: 100%;\n" \
	"}\n" \
	"body {\n" \
	"\tdisplay: grid; align-items: center; min-height: 100vh; min-height: 100svh;\n" \
	"\tpadding: 3rem 1.5rem;\n" \
	"}\n" \
	"main { width: 100%; max-width: 33rem; margin: 0 auto; }\n" \
	".status {\n" \
	"\tcolor: var(--accent); font-weight: 600; letter-spacing: .1em;\n" \
	"\tfont-variant-numeric: tabular-nums;\n" \
	"}\n" \
	"h1 {\n" \
	"\tmargin: .35rem 0 1.4rem; font-weight: 650; letter-spacing: -.02em; line-height: 1.15;\n" \
	"\tfont-size: clamp(1.8rem, 1.35rem + 2.2vw, 2.6rem); text-wrap: balance;\n" \
	"}\n" \
	".waits h1::after {\n" \
	"\tcontent: \"\"; display: block; height: 3px; margin-top: 1.4rem; border-radius: 2px;\n" \
	"\tbackground: linear-gradient(var(--accent), var(--accent)) 0 / 0 100% no-repeat var(--line);\n" \
	"\tanimation: wait 5s linear forwards;\n" \
	"}\n" \
	"@keyframes wait { to { background-size: 100% 100%; } }\n" \
	"@media (prefers-reduced-motion: reduce) { .waits h1::after { animation: none; } }\n" \
	"p { text-wrap: pretty; overflow-wrap: anywhere; }\n" \
	"p + p { margin-top: .6rem; }\n" \
	".then { color: var(--soft); }\n" \
	"a { color: var(--accent); text-underline-offset: .15em; }\n" \
	"dl {\n" \
	"\tdisplay: grid; grid-template-columns: auto 1fr; gap: .1rem 1rem;\n" \
	"\tmargin-top: 2.6rem; padding-top: 1.1rem; border-top: 1px solid var(--line);\n" \
	"\tcolor: var(--soft); font-size: .875rem;\n" \
	"}\n" \
	"dd { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }\n" \
	"@media print { body { display: block; } }\n"

const struct str page_style = { STYLE, sizeof STYLE - 1 };
