/* zone.h: the time zone of this machine (TZ, else /etc/localtime), as a table made once.
 *
 * Made before a role gives up its rights, because nothing can be opened later; looked up by any thread.
 * Before zone_load(), or where the system knows no zone, it is UTC.
 */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include <stdint.h>

/* Reads the zone. Not while others look it up. */
void zone_load(void);
/* Minutes east of UTC at a moment of unix time, 1970 to 2105; before and behind that as at the ends. */
int zone_minutes(int64_t seconds);
/* The day a clock of this zone shows then, since 1970-01-01. */
int64_t zone_day(int64_t seconds);

#endif
