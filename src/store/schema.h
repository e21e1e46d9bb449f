/* schema.h: the account index's schema and its first content. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "db/db.h"
#include "wire/mailbox.h"

extern const struct db_schema schema_index;

/* What every account has from the start; ends with an empty name. */
struct schema_usual {
    struct slice name;
    enum special_use use;
};
extern const struct schema_usual schema_usual[];

#endif
