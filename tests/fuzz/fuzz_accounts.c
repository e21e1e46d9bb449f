/* Any bytes as postfix-accounts.cf, as a JSON account map and as dovecot-quotas.cf. */
#include <stdlib.h>

#include "directory/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(256u << 20);
    struct directory_input *input = directory_input_new_in(arena, problems_new_in(arena));
    struct settings settings = {.hostname = SLICE("mail.example.org")};
    struct slice text = slice_make(data, len);
    directory_read_accounts(input, text, SLICE("a.cf"), true);
    directory_read_accounts_json(input, text, SLICE("a.json"), false);
    directory_read_quotas(input, text, SLICE("q.cf"));
    const struct directory_table *table =
        directory_table_new_in(arena, input, &settings, NULL, SLICE("r.yaml"));
    for (size_t i = 0; i < directory_account_count(input); i++) {
        const struct directory_account_entry *entry = directory_account_at(input, i);
        if (!directory_account(table, entry->address) || !directory_account(table, entry->key))
            abort(); /* every spelling that was read is found */
    }
    return 0;
}
