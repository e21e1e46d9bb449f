/* ban_image.h: what of the register leaves memory: the image for the network roles, at most a few times a
 * second, and the changes for the database, many in one commit. Both are made on threads beside the loop,
 * so that a hundred thousand bans never hold up a login. Used by ban_role.c. */
#ifndef AUTH_BAN_IMAGE_H
#define AUTH_BAN_IMAGE_H

#include "auth/ban_store.h"
#include "base/loop.h"

struct ban_image;

struct ban_image_ops {
    /* There is a new image: ban_image_fd(). */
    void (*made)(void *ctx);
    /* Something was written, or could not be. */
    void (*written)(void *ctx, enum err err, const struct why *why);
    void *ctx;
};

/* Takes the store. The first image is there when this returns. */
enum err ban_image_new(struct loop *loop, const struct bans *bans, struct ban_store **store,
                       const struct ban_image_ops *ops, struct ban_image **image, struct why *why) MUST_CHECK;
/* Waits for what is under way. Takes NULL. */
void ban_image_free(struct ban_image **image);

/* The sealed memfd, and the number of networks it was made of. */
int ban_image_fd(const struct ban_image *image);
uint32_t ban_image_count(const struct ban_image *image);

/* The register has changed: soon there is a new image; `at_once`: the administrator waits. */
void ban_image_changed(struct ban_image *image, bool at_once);
/* To be written. */
void ban_image_write(struct ban_image *image, const struct ban_write *write);
/* A moment: what was told before it; and whether all of that is in the image and on disk (or could not be
 * written) by now. */
struct ban_image_mark {
    uint64_t changes, writes;
};
struct ban_image_mark ban_image_mark(const struct ban_image *image);
bool ban_image_reached(const struct ban_image *image, const struct ban_image_mark *mark);

#endif
