/* watch.h: follows the files the configuration names (certificates, accounts, secrets, …): who changed one,
 * or moved the symlink it is reached by, need not send SIGHUP. */
#ifndef PROC_WATCH_H
#define PROC_WATCH_H

#include "proc/family.h"

/* Begins; called once, when there is a plan. settings->watch_files says how often, and may change or be 0. */
void watch_start(struct supervisor *s);
/* A look at once, whether or not watching is on: is a file another than the one that was read? */
bool watch_changed(struct supervisor *s);
void watch_stop(struct supervisor *s);

#endif
