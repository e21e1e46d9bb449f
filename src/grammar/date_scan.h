/* date_scan.h: the pieces the date parsers share; for date.c and date_rfc5322.c alone. */
#ifndef GRAMMAR_DATE_SCAN_H
#define GRAMMAR_DATE_SCAN_H

#include "grammar/date.h"

/* A date as read, not yet checked. */
struct date_fields {
    unsigned year, month, day, hour, minute, second;
};

/* False when a field is out of its range; a second of 60 is the next minute. The zone is not counted. */
bool date_fields_seconds(const struct date_fields *fields, int64_t *seconds) MUST_CHECK;
unsigned date_month_days(int32_t year, unsigned month);
/* At least `least`, at most `most` (9) digits off the front. */
bool date_take_digits(struct slice *s, size_t least, size_t most, unsigned *number) MUST_CHECK;
/* This byte (letters without case) off the front. */
bool date_take_byte(struct slice *s, uint8_t byte);
/* "+0100" or "-01:00" into zone and zone_known. */
bool date_take_offset(struct slice *s, struct date_time *date) MUST_CHECK;
/* 1 to `count` for a name that starts as one of the three-letter `names`, else 0; months and weekdays by
 * that. */
unsigned date_name_index(struct slice name, const char *names, unsigned count);
unsigned date_month_index(struct slice name);
bool date_is_weekday(struct slice name);

#endif
