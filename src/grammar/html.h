/* html.h: the text of an HTML part, good enough for search and preview (not for showing). Takes any bytes,
 * one pass, bounded by the output's maximum; pure. */
#ifndef GRAMMAR_HTML_H
#define GRAMMAR_HTML_H

#include "base/buf.h"
#include "base/slice.h"

/* Appends the text of `html` (well-formed UTF-8) as UTF-8: tags, comments, scripts and styles left out,
 * character references resolved, runs of white space one blank, blocks on lines of their own. False when
 * `out` was full before the end; it then ends with a whole character. */
bool html_to_text(struct slice html, struct buf *out);

#endif
