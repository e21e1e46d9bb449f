/* tables.h: the parts of the table of settings that stand in files of their own. Private to settings/. */
#ifndef SETTINGS_TABLES_H
#define SETTINGS_TABLES_H

#include <stddef.h>

#include "settings/settings.h"

#define F(type, member) .offset = offsetof(type, member)
#define MINUTE          60000u
#define HOUR            (60u * MINUTE)
#define DAY             (24ull * HOUR)
#define GIB             (1ull << 30)

/* settings_auth.c */
extern const struct conf_table settings_auth_table;

/* settings_door.c */
extern const struct conf_table settings_limits_table, settings_before_greeting_table,
    settings_ban_policy_table, settings_crowdsec_table;

/* settings_outbound.c */
extern const struct conf_table settings_relay_table, settings_relay_map_table, settings_direct_table,
    settings_queue_table, settings_relay_timeouts_table;

#endif
